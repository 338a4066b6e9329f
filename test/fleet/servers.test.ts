/** Servers that come and go around a store: it may come later than they do, and one may die in the middle of an answer. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Running } from "../serving/serve-process.js";
import { freePort } from "./child-process.js";
import { arbitraryPrompt, writeModel } from "./fleet-models.js";
import { type RedisServer, startRedis } from "./redis-server.js";
import {
  ask,
  bodyOf,
  countersOf,
  expectNothingStuck,
  expectSoon,
  type Installation,
  newInstallation,
  startTierServer,
} from "./tier-servers.js";

const BLOCKS = 12;
const TOKENS = BLOCKS * 16;

let installation: Installation;
let port: number;
let redis: RedisServer | undefined;
let plain: Running;
let a: Running;
let b: Running;

beforeAll(async () => {
  installation = await newInstallation();
  const { folder, keyFile } = installation;
  port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  const model = await writeModel(folder, "model", "slow");
  [plain, a, b] = await Promise.all(
    [null, url, url].map((tier) => startTierServer({ model, tier, keyFile })),
  );
});
afterAll(async () => {
  await installation?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
});

const questionOn = (text: number, tokens = 4) => ({
  ...{ prompt: [...arbitraryPrompt(TOKENS, text), 2, 3], seed: text, tokens },
});

test("a store that comes only after the servers: they are ready without it, and use it when it is there", async () => {
  for (const server of [a, b]) {
    expect((await fetch(`${server.url}/ready`)).status).toBe(200);
    const { said } = await ask(plain, questionOn(1));
    expect(await ask(server, questionOn(1))).toEqual({ said, cached: 0 });
    const counters = await countersOf(server);
    expect(counters).toMatchObject({ loads: 0, hits: 0, misses: 0 });
    expect(counters.breaker).not.toBe(0);
    expect(server.log.join("\n")).toMatch(/KV tier of .* is of no use just now.*ECONNREFUSED/s);
  }
  redis = await startRedis({ port });
  for (const server of [a, b]) await expectSoon(async () => (await countersOf(server)).breaker).toBe(0);
  const { said } = await ask(plain, questionOn(2));
  expect(await ask(a, questionOn(2))).toEqual({ said, cached: 0 });
  await expectSoon(async () => (await countersOf(a)).written).toBe(BLOCKS);
  expect(await ask(b, questionOn(2))).toEqual({ said, cached: TOKENS });
  await expectSoon(async () => b.log.join("\n")).toContain("is in use again");
  for (const server of [a, b]) await expectNothingStuck(server);
});

test("a server that dies in the middle of an answer: asked again with its seed, another one says the same, mostly from the tier", async () => {
  const question = questionOn(3, 300);
  const { said } = await ask(plain, question);
  // Asked before, so that the tier has its prompt.
  await ask(a, { ...question, tokens: 1 });
  await expectSoon(async () => (await countersOf(a)).written).toBe(2 * BLOCKS);
  const response = await fetch(`${a.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...bodyOf(question), stream: true }),
  });
  let read = "";
  const decoder = new TextDecoder();
  await expect(async () => {
    for await (const bytes of response.body!) {
      read += decoder.decode(bytes, { stream: true });
      if (read.split("\n\n").length >= 4) a.child.kill("SIGKILL");
    }
  }).rejects.toThrow();
  const begun = read
    .split("\n\n")
    .filter((event) => event.startsWith("data: {"))
    .map((event) => JSON.parse(event.slice(6)).choices[0].text)
    .join("");
  expect(begun.length).toBeGreaterThan(0);
  expect(said.text.startsWith(begun)).toBe(true);
  expect(read).not.toContain("[DONE]");
  expect(await ask(b, question)).toEqual({ said, cached: TOKENS });
});

test("a folder in place of a Redis: one server finds what another one has written", async () => {
  const { folder, keyFile } = installation;
  const model = await writeModel(folder, "tiny", "tiny");
  const options = { model, tier: join(folder, "tier"), keyFile, args: ["--kernels", "reference"] };
  const [one, two] = await Promise.all([startTierServer(options), startTierServer(options)]);
  const { said, cached } = await ask(one, questionOn(4));
  expect(cached).toBe(0);
  await expectSoon(async () => (await countersOf(one)).written).toBe(BLOCKS);
  expect(await ask(two, questionOn(4))).toEqual({ said, cached: TOKENS });
  for (const server of [one, two]) await expectNothingStuck(server);
});
