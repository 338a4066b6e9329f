/**
 * HAProxy, two servers and a store together: a server is killed in the middle of a stream, which ends with an error. The client that
 * asks again, at the same address and with its seed, gets the same text of the other server, which has the prompt from the tier.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { complete } from "../serving/serve-process.js";
import { arbitraryPrompt, writeModel } from "./fleet-models.js";
import { SERVERS, startShippedHaproxy } from "./haproxy.js";
import { startRedis } from "./redis-server.js";
import {
  countersOf,
  expectSoon,
  type Installation,
  newInstallation,
  startTierServer,
} from "./tier-servers.js";

const BLOCKS = 12;

let installation: Installation;
beforeAll(async () => {
  installation = await newInstallation();
});
afterAll(() => installation?.[Symbol.asyncDispose]());

test("a stream whose server is killed is had again by its seed, through the same proxy", async () => {
  const { folder, keyFile } = installation;
  await using redis = await startRedis();
  const model = await writeModel(folder, "model", "slow");
  const [alone, ...servers] = await Promise.all([
    startTierServer({ model, tier: null }),
    ...SERVERS.slice(0, 2).map((name) =>
      startTierServer({ model, tier: redis.url, keyFile, args: ["--instance", name] }),
    ),
  ]);
  const body = {
    prompt: [...arbitraryPrompt(BLOCKS * 16, 1), 2, 3],
    max_tokens: 300,
    seed: 12,
    temperature: 1,
  };
  const expected: string = (await (await complete(alone.url, body)).json()).choices[0].text;

  await using proxy = await startShippedHaproxy(servers.map(({ port }) => port));
  // Asked before, so that the tier has it.
  const first = await complete(proxy.url, { ...body, max_tokens: 1 });
  const home = first.headers.get("x-served-by")!;
  const [its, others] = home === SERVERS[0] ? servers : servers.toReversed();
  await expectSoon(async () => (await countersOf(its)).written).toBe(BLOCKS);
  const stream = await complete(proxy.url, { ...body, stream: true });
  expect(stream.headers.get("x-served-by")).toBe(home);
  let said = "";
  await expect(async () => {
    for await (const piece of stream.body!.pipeThrough(new TextDecoderStream())) {
      for (const [, data] of piece.matchAll(/^data: (\{.*\})$/gm)) said += JSON.parse(data).choices[0].text;
      if (said !== "") its.child.kill("SIGKILL");
    }
  }).rejects.toThrow();
  expect(said.length).toBeGreaterThan(0);
  expect(said.length).toBeLessThan(expected.length);
  expect(expected.startsWith(said)).toBe(true);

  const again = await complete(proxy.url, body);
  expect(again.headers.get("x-served-by")).not.toBe(home);
  const { choices, usage } = await again.json();
  expect(choices[0].text).toBe(expected);
  expect(usage.prompt_tokens_details.cached_tokens).toBe(BLOCKS * 16);
  expect((await countersOf(others)).hits).toBe(BLOCKS);
});
