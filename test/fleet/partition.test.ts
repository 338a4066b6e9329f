/**
 * A network that is cut between a server and its Redis while sixteen clients ask: connections stay open and silent, as when a
 * switch dies. Hosts are network namespaces; where this machine refuses them, the test says so.
 */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as later } from "node:timers/promises";
import { expect, test } from "vitest";
import { startProgram } from "./child-process.js";
import { store } from "./fleet.js";
import { arbitraryPrompt, writeModel } from "./fleet-models.js";
import { twoHosts } from "./network-namespaces.js";
import { startRedis } from "./redis-server.js";
import {
  ask,
  askAll,
  countersOf,
  expectNothingStuck,
  expectSoon,
  newInstallation,
  type Question,
  saidOf,
  startTierServer,
} from "./tier-servers.js";

const BLOCKS = 12;
const TOKENS = BLOCKS * 16;
const CLIENTS = 16;
const CUT_MS = 5000;

/** Hands connections of a Unix socket on to a port of its host: sockets of files are of no network. */
const FORWARD = `
  const { createServer, connect } = require("node:net");
  const [path, port] = process.argv.slice(1);
  createServer((from) => {
    const to = connect(Number(port), "127.0.0.1");
    from.pipe(to).pipe(from);
    for (const [one, other] of [[from, to], [to, from]]) one.on("error", () => other.destroy());
  }).listen(path, () => console.log("listening"));`;

/** A port of this host that is one of another host's. */
async function reached(by: readonly string[], port: number, socketPath: string) {
  const there = await startProgram(
    [process.execPath, "--eval", FORWARD, socketPath, String(port)],
    (line) => line === "listening",
    { by },
  );
  const here = createServer((from) => {
    const to = connect(socketPath);
    from.pipe(to).pipe(from);
    from.on("error", () => to.destroy());
    to.on("error", () => from.destroy());
  }).listen(0, "127.0.0.1");
  await once(here, "listening");
  return {
    url: `http://127.0.0.1:${(here.address() as { port: number }).port}`,
    async [Symbol.asyncDispose]() {
      here.close();
      await there[Symbol.asyncDispose]();
    },
  };
}

const questionOn = (text: number, i: number): Question => ({
  ...{ prompt: [...arbitraryPrompt(TOKENS, text), ...arbitraryPrompt(5, 1000 + i)], seed: text + i },
});

test("cut for five seconds under load: all answers come meanwhile, and are right; nothing is stuck or lost", async ({
  skip,
}) => {
  await using hosts = await twoHosts();
  if (hosts === null) return skip("no network namespaces");
  await using installation = await newInstallation();
  const { folder, keyFile } = installation;
  await using redis = await startRedis({ port: 6400, host: hosts.b.address, by: hosts.b.by });
  const model = await writeModel(folder, "model", "slow");
  const [plain, writer, server] = await Promise.all([
    startTierServer({ model, tier: null }),
    startTierServer({ model, tier: redis.url, keyFile, by: hosts.b.by }),
    startTierServer({ model, tier: redis.url, keyFile, by: hosts.a.by }),
  ]);
  await using toWriter = await reached(hosts.b.by, writer.port, join(folder, "writer.sock"));
  await using toServer = await reached(hosts.a.by, server.port, join(folder, "server.sock"));

  const warm = 1;
  const stored = Array.from({ length: CLIENTS }, (_, i) => 10 + i);
  const others = [40, 41, 42, 43];
  await store(toWriter, [warm, ...stored], TOKENS);
  const asked = [...stored, ...stored, ...others.flatMap((text) => Array(8).fill(text))].map(questionOn);
  const right = saidOf(await askAll(plain, asked));
  await ask(toServer, questionOn(warm, 0));
  const before = await countersOf(toServer);
  expect(before).toMatchObject({ hits: BLOCKS, timeouts: 0, breaker: 0 });

  // Each client begins with a text that has to be loaded, and the cable is pulled in the middle of that.
  const answers = askAll(toServer, asked, CLIENTS);
  await expect
    .poll(async () => (await countersOf(toServer)).hits, { interval: 2, timeout: 20_000 })
    .toBeGreaterThan(before.hits);
  await hosts.link("down");
  const cutAt = performance.now();
  // All answers are there before it is plugged in again: none waits for it.
  expect(saidOf(await answers)).toEqual(right);
  const meanwhile = await countersOf(toServer);
  expect(meanwhile.timeouts).toBeGreaterThan(before.timeouts);
  // By the server's own figures no load took longer than its deadline, with a margin for a busy machine.
  expect(meanwhile).toMatchObject({ ended: meanwhile.loads, shortLoads: meanwhile.loads, rejected: 0 });
  expect(meanwhile.loads - before.loads).toBeLessThanOrEqual(stored.length + others.length);
  expect(meanwhile.breaker).not.toBe(0);
  await expectNothingStuck(toServer);
  await later(Math.max(0, CUT_MS - (performance.now() - cutAt)));
  await hosts.link("up");

  await expectSoon(async () => (await countersOf(toServer)).breaker).toBe(0);
  const text = 50;
  await store(toWriter, [text], TOKENS);
  const { said } = await ask(plain, questionOn(text, 1));
  expect(await ask(toServer, questionOn(text, 1))).toEqual({ said, cached: TOKENS });
  await expectNothingStuck(toServer);
});
