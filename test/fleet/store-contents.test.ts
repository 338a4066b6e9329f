/**
 * What a Redis may make of the records: all gone while clients ask; no room for more; bits that have changed, records cut off, or
 * under each other's names. All of it costs rows, never an answer, and no answer is another.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Running } from "../serving/serve-process.js";
import { type Fleet, startFleet, store } from "./fleet.js";
import { arbitraryPrompt } from "./fleet-models.js";
import type { RedisServer } from "./redis-server.js";
import {
  ask,
  askAll,
  countersOf,
  expectNothingStuck,
  expectSoon,
  type Question,
  saidOf,
} from "./tier-servers.js";

const BLOCKS = 10;
const TOKENS = BLOCKS * 16;
const CLIENTS = 16;
/** Tokens of a question behind its text, and of its answer. */
const OWN = 5;
const ANSWER = 4;

let fleet: Fleet;
let redis: RedisServer;
let plain: Running;
/** Fills the store. */
let writer: Running;
let reader: Running;

beforeAll(async () => {
  fleet = await startFleet();
  redis = fleet.redis;
  [plain, writer, reader] = fleet.servers;
});
afterAll(() => fleet?.[Symbol.asyncDispose]());

function questionOn(text: number, i: number): Question {
  const prompt = [...arbitraryPrompt(TOKENS, text), ...arbitraryPrompt(OWN, 1000 + i)];
  return { prompt, seed: text + i, tokens: ANSWER };
}

/** Each of some texts asked about by several clients, which go through the texts together. */
function roundsOn(texts: readonly number[], each: number): Question[] {
  return texts.flatMap((text) => Array.from({ length: each }, (_, i) => questionOn(text, i)));
}

/** Rows that a server computed, which computed each text at most once. */
function mostRows(questions: readonly Question[], texts: readonly number[]): number {
  return texts.length * TOKENS + questions.length * (OWN + ANSWER);
}

test("records whose bits have changed, that are cut off, under another's name or gone: rejected, counted by reason, and computed", async () => {
  /** By text: names of its records, first to last. */
  const names: string[][] = [];
  const texts = Array.from({ length: DAMAGES.length + 1 }, (_, i) => 200 + i);
  {
    await using monitor = await redis.monitor();
    await store(writer, texts, TOKENS);
    const written = () => monitor.log.flatMap((line) => /"set" "(lr1:[^"]+)"/i.exec(line)?.[1] ?? []);
    await expectSoon(async () => written().length).toBe(texts.length * BLOCKS);
    for (const i of texts.keys()) names.push(written().slice(i * BLOCKS, (i + 1) * BLOCKS));
  }
  const healthy = names[DAMAGES.length];
  for (const [i, { damage, at, reason }] of DAMAGES.entries()) {
    await damage(names[i], at, healthy);
    const question = questionOn(texts[i], 0);
    const { said } = await ask(plain, question);
    const before = await countersOf(reader);
    const answer = await ask(reader, question);
    expect(answer, `${reason}, ${i}`).toEqual({ said, cached: at * 16 });
    const after = await countersOf(reader);
    if (reason === "gone") {
      expect(after.misses - before.misses).toBe(1);
      expect(after.rejected).toBe(before.rejected);
      continue;
    }
    expect(after.rejectedFor(reason) - before.rejectedFor(reason), `${reason}, ${i}`).toBe(1);
    expect(after.rejected - before.rejected).toBe(1);
  }
  // What is untouched is taken as ever.
  const last = questionOn(texts[DAMAGES.length], 0);
  const { said } = await ask(plain, last);
  expect(await ask(reader, last)).toEqual({ said, cached: TOKENS });
  await expectNothingStuck(reader);
});

/** What a Redis is told to do to the record of block `at`, and what is said of it. */
interface Damage {
  readonly at: number;
  /** Why it is rejected; "gone": it is not there, as after an eviction. */
  readonly reason: string;
  damage(names: readonly string[], at: number, healthy: readonly string[]): Promise<unknown>;
}

/** Changes one bit of a byte of a record; counted from its end where it is negative. */
const FLIP = `
  local i = tonumber(ARGV[1])
  if i < 0 then i = i + redis.call("STRLEN", KEYS[1]) end
  local byte = string.byte(redis.call("GETRANGE", KEYS[1], i, i))
  return redis.call("SETRANGE", KEYS[1], i, string.char(bit.bxor(byte, 16)))`;

const flipped = (byte: number, reason: string, at = 5): Damage => ({
  ...{ at, reason },
  damage: (names, at) => redis.ask("eval", FLIP, "1", names[at], String(byte)),
});

const cutTo = (bytes: number, at: number): Damage => ({
  ...{ at, reason: "length" },
  damage: (names, at) =>
    redis.ask(
      "eval",
      `return redis.call("SET", KEYS[1], string.sub(redis.call("GET", KEYS[1]), 1, ARGV[1]))`,
      ...["1", names[at], String(bytes)],
    ),
});

/** By what src/tier/record.ts says of a record. */
const DAMAGES: readonly Damage[] = [
  flipped(0, "format"),
  flipped(4, "format"),
  flipped(6, "position"),
  flipped(8, "position"),
  flipped(12, "length"),
  flipped(20, "namespace"),
  flipped(50, "authentication"),
  flipped(60, "authentication"),
  flipped(100, "authentication", 0),
  flipped(9000, "authentication", BLOCKS - 1),
  flipped(-1, "authentication"),
  cutTo(0, 3),
  cutTo(60, 3),
  cutTo(16_000, 3),
  // Another block's, of this text; and the same block's, of another.
  {
    at: 4,
    reason: "position",
    damage: (names, at) => redis.ask("copy", names[at + 1], names[at], "replace"),
  },
  {
    at: 4,
    reason: "authentication",
    damage: (names, at, healthy) => redis.ask("copy", healthy[at], names[at], "replace"),
  },
  { at: 7, reason: "gone", damage: (names, at) => redis.ask("del", names[at]) },
];

test("full under load: what is there is read while nothing is written, and every answer comes", async () => {
  const stored = [300, 301, 302, 303];
  await store(writer, stored, TOKENS);
  await redis.ask("config", "set", "maxmemory-policy", "noeviction");
  await redis.ask("config", "set", "maxmemory", "1");
  const texts = stored.flatMap((text) => [text, text + 50]);
  const questions = roundsOn(texts, 8);
  const expected = saidOf(await askAll(plain, questions));
  const before = await countersOf(reader);
  const size = await redis.ask("dbsize");
  expect(saidOf(await askAll(reader, questions))).toEqual(expected);
  const { hits, rows, dropped, written, breaker } = await countersOf(reader);
  expect(hits - before.hits).toBeGreaterThan((stored.length * BLOCKS) / 2);
  expect(rows - before.rows).toBeLessThanOrEqual(mostRows(questions, texts));
  expect({ written, breaker }).toEqual({ written: before.written, breaker: 0 });
  expect(dropped).toBeGreaterThan(before.dropped);
  expect(await redis.ask("dbsize")).toBe(size);
  expect(reader.log.join("\n")).toContain("allkeys-lfu");
  await expectNothingStuck(reader);
});

test("full, and told to evict: all is written, in the place of something else, and every answer is right", async () => {
  const used = Number(/used_memory:(\d+)/.exec(await redis.ask("info", "memory"))![1]);
  await redis.ask("config", "set", "maxmemory", String(used + 100_000));
  await redis.ask("config", "set", "maxmemory-policy", "allkeys-lfu");
  const size = Number(await redis.ask("dbsize"));
  const texts = [400, 401, 402];
  await store(writer, texts, TOKENS);
  expect(Number(await redis.ask("dbsize"))).toBeLessThan(size + texts.length * BLOCKS);
  const questions = roundsOn(texts, 2);
  expect(saidOf(await askAll(reader, questions))).toEqual(saidOf(await askAll(plain, questions)));
  await redis.ask("config", "set", "maxmemory", "0");
  for (const server of [writer, reader]) await expectNothingStuck(server);
});

test("wiped again and again under load: each process computes each text at most once", async () => {
  const texts = Array.from({ length: 8 }, (_, i) => 100 + i);
  const questions = roundsOn(texts, 8);
  const expected = saidOf(await askAll(plain, questions));
  const before = [await countersOf(writer), await countersOf(reader)];
  let numWiped = 0;
  const onAnswer = (i: number) => {
    if (i % 16 !== 15) return;
    numWiped += 1;
    void redis.ask("flushall");
  };
  const answers = await Promise.all([
    askAll(writer, questions, CLIENTS / 2, { onAnswer }),
    askAll(reader, questions, CLIENTS / 2),
  ]);
  expect(numWiped).toBe(4);
  for (const [i, server] of [writer, reader].entries()) {
    expect(saidOf(answers[i])).toEqual(expected);
    const { rows, rejected, breaker } = await countersOf(server);
    expect(rows - before[i].rows).toBeLessThanOrEqual(mostRows(questions, texts));
    expect({ rejected, breaker }).toEqual({ rejected: before[i].rejected, breaker: 0 });
    await expectNothingStuck(server);
  }
});
