/**
 * The first token of a prompt of which a tier has all full blocks, in a process that was just started, against the same one
 * without a tier; over a Unix socket and over TLS. Beside each what it would take if nothing but the bytes and the last rows took time.
 */
import { randomBytes } from "node:crypto";
import { openRedisStore } from "../../src/tier/redis-store.js";
import { certificates } from "../../test/fleet/certificates.js";
import { freePort } from "../../test/fleet/child-process.js";
import { startRedis } from "../../test/fleet/redis-server.js";
import { fill } from "./fill.js";
import {
  type Bench,
  KEY,
  median,
  megabytes,
  ms,
  only,
  options,
  prompt,
  type Table,
  type Types,
} from "./measured.js";
import { ModelProcess, type TierSettings } from "./model-link.js";

const TYPES: readonly Types[] = [
  { dtype: "f32", kvDtype: "f32" },
  { dtype: "f32", kvDtype: "int8" },
  { dtype: "int8", kvDtype: "int8" },
];
/** Records of a load that are under way at once. */
const WINDOW = 4;

export async function firstToken(bench: Bench): Promise<Table> {
  await using files = await certificates();
  const tlsPort = await freePort();
  await using redis = await startRedis({ args: files.serverOptions(tlsPort) });
  const ways: readonly (readonly [string, TierSettings])[] = [
    ["Unix socket", { url: redis.url, key: KEY, write: "first" }],
    ["TLS", { url: `rediss://127.0.0.1:${tlsPort}`, caFile: files.authority, key: KEY, write: "first" }],
  ];
  const rows: string[][] = [];
  for (const types of TYPES) {
    bench.say(`first token: ${types.dtype} weights, ${types.kvDtype} K and V`);
    const record = await fill(bench, { types, tier: ways[0][1], numbers: [1] });
    const cold: number[] = [];
    const warm = new Map(ways.map(([way]) => [way, [] as number[]]));
    const rest: number[] = [];
    for (let round = 0; round < bench.rounds; round++) {
      cold.push((await inFreshProcess(bench, types)).first);
      for (const [way, tier] of ways) {
        const { first, again } = await inFreshProcess(bench, types, tier);
        warm.get(way)!.push(first);
        rest.push(again);
      }
    }
    for (const [way, tier] of ways) {
      const bytesPerMs = await bandwidth(tier, record);
      const expected = (record.bytes * record.count) / bytesPerMs + median(rest);
      const measured = median(warm.get(way)!);
      rows.push([
        ...[types.dtype, types.kvDtype, way, megabytes(record.bytes * record.count), ms(median(cold))],
        ...[ms(measured), `${(median(cold) / measured).toFixed(1)} ×`],
        ...[ms(expected), `${Math.round(bytesPerMs / 1000)} MB/s`, ms(median(rest))],
      ]);
    }
  }
  return {
    title: "First token of a prompt of 900 tokens, 896 of them in a tier",
    head: [
      ...["weights", "K and V", "way", "records", "computed", "from the tier", "faster"],
      ...["bytes / bandwidth + rows", "bandwidth", "4 rows"],
    ],
    rows,
    notes: [
      `Medians of ${bench.rounds} rounds, each in processes that were just started. Bandwidth: records of this size, ${WINDOW} at a time, with the same client and nothing else.`,
    ],
  };
}

/** Milliseconds to the first token, and to that of the same prompt again. @throws when the tier did not have it */
async function inFreshProcess(bench: Bench, types: Types, tier?: TierSettings) {
  await using reader = new ModelProcess();
  await reader.load("m", bench.model, options(bench, types, tier));
  const first = await only(reader.inTurn("m", [prompt(1)]));
  const again = await only(reader.inTurn("m", [prompt(1)]));
  const computed = tier === undefined ? 900 : 4;
  if (first.rowsComputed !== computed) {
    bench.say(
      `!! ${first.rowsComputed} rows were computed, not ${computed}: ${JSON.stringify(await reader.stats("m"))}`,
    );
  }
  if (first.tokens[0] !== again.tokens[0]) throw new Error("The tokens differ.");
  return { first: first.firstMs, again: again.firstMs };
}

/** Bytes in a millisecond of the store and its client alone. */
async function bandwidth({ url, caFile }: TierSettings, { bytes, count }: { bytes: number; count: number }) {
  const store = await openRedisStore({ url, caFile, ttlSeconds: 600, longestRecord: bytes });
  const names = Array.from({ length: count }, (_, i) => `lr1:bandwidth:${bytes}:${i}`);
  for (const name of names) await store.setIfAbsent(name, randomBytes(bytes));
  const { signal } = new AbortController();
  const times: number[] = [];
  for (let round = 0; round < 7; round++) {
    const begun = performance.now();
    const waiting = names.values();
    const reader = async () => {
      for (const name of waiting) await store.get(name, signal);
    };
    await Promise.all(Array.from({ length: WINDOW }, reader));
    times.push(performance.now() - begun);
  }
  await store.close();
  return (bytes * count) / median(times);
}
