/**
 * What a store that does not answer costs: nothing of the processor's time for an answer while it is left alone; and how soon it is
 * used again when it is back. Figures are printed; bounds have room for a machine with other work.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Running } from "../serving/serve-process.js";
import { freePort } from "./child-process.js";
import { arbitraryPrompt, writeModel } from "./fleet-models.js";
import { type RedisServer, startRedis } from "./redis-server.js";
import {
  askAll,
  countersOf,
  expectSoon,
  type Installation,
  newInstallation,
  startTierServer,
} from "./tier-servers.js";

const TOKENS = 6 * 16;
const CLIENTS = 16;

let installation: Installation;
let model: string;
beforeAll(async () => {
  installation = await newInstallation();
  model = await writeModel(installation.folder, "model", "slow");
});
afterAll(() => installation?.[Symbol.asyncDispose]());

const say = (line: string) => void process.stderr.write(`${line}\n`);

/** Questions about texts that no server has seen. */
let numTexts = 0;
const newQuestions = (count: number) =>
  Array.from({ length: count }, () => ({ prompt: arbitraryPrompt(TOKENS + 4, ++numTexts), seed: 1 }));

const breaker = async (server: Running) => (await countersOf(server)).breaker;

test("a store that is gone for good takes none of the time of answers", async () => {
  const { keyFile } = installation;
  const gone = `redis://127.0.0.1:${await freePort()}`;
  const [withTier, without] = await Promise.all(
    [gone, null].map((tier) => startTierServer({ model, tier, keyFile })),
  );
  const seconds = async ({ url }: Running) => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(/^process_cpu_seconds_total\{.*\} (\S+)$/m.exec(text)![1]);
  };
  const costs = new Map<Running, number[]>([
    [withTier, []],
    [without, []],
  ]);
  for (let round = 0; round < 4; round++) {
    const questions = newQuestions(CLIENTS);
    for (const server of round % 2 === 0 ? [withTier, without] : [without, withTier]) {
      const before = await seconds(server);
      await askAll(server, questions);
      costs.get(server)!.push((await seconds(server)) - before);
    }
  }
  const [ours, theirs] = [withTier, without].map((server) => Math.min(...costs.get(server)!));
  say(
    `processor time of ${CLIENTS} answers: ${ours.toFixed(3)} s with a tier that is gone, ${theirs.toFixed(3)} s without one`,
  );
  expect(ours / theirs).toBeLessThan(1.05);
  const { loads, timeouts } = await countersOf(withTier);
  expect({ loads, timeouts }).toEqual({ loads: 0, timeouts: 0 });
});

test("a store that was stopped, or killed, and is back is used again within seconds", async () => {
  const { keyFile } = installation;
  const port = await freePort();
  let redis: RedisServer = await startRedis({ port });
  const server = await startTierServer({ model, tier: redis.url, keyFile });
  await expectSoon(() => breaker(server)).toBe(0);
  const outages: Record<string, [begin: () => unknown, end: () => unknown]> = {
    stopped: [() => redis.child.kill("SIGSTOP"), () => redis.child.kill("SIGCONT")],
    killed: [
      () => redis[Symbol.asyncDispose](),
      async () => {
        redis = await startRedis({ port });
      },
    ],
  };
  try {
    for (const [name, [begin, end]] of Object.entries(outages)) {
      await begin();
      // They ask until it is left alone.
      await expect
        .poll(
          async () => {
            await askAll(server, newQuestions(4));
            return breaker(server);
          },
          { timeout: 30_000, interval: 1 },
        )
        .toBe(2);
      const openAt = performance.now();
      await end();
      const backAt = performance.now();
      await expect.poll(() => breaker(server), { timeout: 20_000, interval: 20 }).toBe(0);
      const ms = performance.now() - backAt;
      say(`${name}: used again ${ms.toFixed(0)} ms after it was back`);
      // It is tried after a second, or, where it was not back yet, two seconds later.
      expect(ms, name).toBeLessThan(1000 + 2000 + (backAt - openAt) + 1000);
    }
  } finally {
    await redis[Symbol.asyncDispose]();
  }
});
