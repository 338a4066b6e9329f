/**
 * Builds, models and types of K and V on one store: each finds its own, and nothing of another, whether or not anybody thought of
 * a version. The other build is a copy of this one in which one sum runs the other way; nothing but the probe tells it apart.
 */
import { cp, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MAIN, type Running } from "../serving/serve-process.js";
import { arbitraryPrompt, writeModel } from "./fleet-models.js";
import { type RedisServer, startRedis } from "./redis-server.js";
import {
  ask,
  countersOf,
  expectNothingStuck,
  expectSoon,
  type Installation,
  newInstallation,
  startTierServer,
} from "./tier-servers.js";

const BLOCKS = 8;
const QUESTION = { prompt: [...arbitraryPrompt(BLOCKS * 16, 1), 2, 3], seed: 7 };
/** They take long enough that a tier pays for a model that starts at once. */
const REFERENCE = ["--kernels", "reference"];

let installation: Installation;
let redis: RedisServer;
let model: string;

beforeAll(async () => {
  installation = await newInstallation();
  redis = await startRedis();
  model = await writeModel(installation.folder, "model", "tiny");
});
afterAll(async () => {
  await installation?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
});

interface Variant {
  readonly args?: readonly string[];
  readonly tier?: null;
  readonly main?: string;
  readonly of?: string;
  /** Records that it writes, and those of them that another one reads. */
  readonly written?: number;
  readonly read?: number;
}

function start({ args = REFERENCE, tier, main, of = model }: Variant): Promise<Running> {
  const { keyFile } = installation;
  return startTierServer({ model: of, keyFile, args, main, tier: tier === null ? null : redis.url });
}

/** The first one on a store: nothing is found, what it computes is written. */
async function computed(server: Running, written = BLOCKS) {
  const size = Number(await redis.ask("dbsize"));
  const { said, cached } = await ask(server, QUESTION);
  expect(cached).toBe(0);
  expect(await countersOf(server)).toMatchObject({ hits: 0, rejected: 0 });
  await expectSoon(() => redis.ask("dbsize").then(Number)).toBe(size + written);
  return said;
}

/** One that finds all that it has not computed. */
async function found(server: Running, read = BLOCKS) {
  const { said, cached } = await ask(server, QUESTION);
  expect(cached).toBe(BLOCKS * 16);
  expect(await countersOf(server)).toMatchObject({ hits: read, misses: 0, rejected: 0 });
  return said;
}

/** A copy of the compiled package in which linear layers of 16 and 32 bits add up from the other end, and no version is another. */
async function otherBuild(folder: string): Promise<string> {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  await cp(join(root, "dist"), join(folder, "dist"), { recursive: true });
  await cp(join(root, "package.json"), join(folder, "package.json"));
  await symlink(join(root, "node_modules"), join(folder, "node_modules"));
  const file = join(folder, "dist/kernels/reference/floats.js");
  const source = await readFile(file, "utf8");
  const sum = /for \(let k = 0; k < inFeatures; k\+\+\)(\s+sum = )/g;
  expect([...source.matchAll(sum)]).toHaveLength(1);
  await writeFile(file, source.replace(sum, "for (let k = inFeatures - 1; k >= 0; k--)$1"));
  return MAIN.replace(join(root, "dist"), join(folder, "dist"));
}

test("two builds, one sum of which runs the other way, with the same version: none finds what the other wrote, both are right", async () => {
  const main = await otherBuild(installation.folder);
  const servers = [
    // Not the kernels make a difference, only the bits.
    ...[start({ args: [] }), start({})],
    ...[start({ main }), start({ main }), start({ main, tier: null })],
  ];
  const [ours, oursAgain, theirs, theirsAgain, theirsAlone] = await Promise.all(servers);
  const said = await computed(ours);
  const other = await computed(theirs);
  expect(other).not.toEqual(said);
  expect((await ask(theirsAlone, QUESTION)).said).toEqual(other);
  expect(await found(oursAgain)).toEqual(said);
  expect(await found(theirsAgain)).toEqual(other);
  const namespaces = (await redis.ask("keys", "lr1:*")).split("\n").map((name) => name.split(":")[1]);
  expect(new Set(namespaces).size).toBe(2);
  for (const server of [ours, oursAgain, theirs, theirsAgain]) await expectNothingStuck(server);
});

test("types of K and V, types of weights, models of one shape, and one with windows: each finds its own", async () => {
  const { folder } = installation;
  const of = await writeModel(folder, "another", "tiny", 2);
  const windowed = await writeModel(folder, "windowed", "windowed");
  const variants: Variant[] = [
    ...["f16", "int8"].map((type) => ({ args: [...REFERENCE, "--kv-dtype", type] })),
    { args: [...REFERENCE, "--dtype", "int8"] },
    { of },
    // Each block of its two kinds of layers is a record; of windows only what is seen behind the prompt is read.
    { of: windowed, written: 2 * BLOCKS, read: BLOCKS + 2 },
  ];
  const said: string[] = [];
  for (const variant of variants) {
    const [first, second] = await Promise.all([start(variant), start(variant)]);
    said.push(JSON.stringify(await computed(first, variant.written)));
    expect(JSON.stringify(await found(second, variant.read))).toBe(said.at(-1));
    for (const { child } of [first, second]) child.kill("SIGKILL");
  }
  expect(new Set(said).size).toBe(variants.length);
});
