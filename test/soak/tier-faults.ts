/**
 * A model beside a Redis to which something happens every five seconds, with sixteen clients, for ten minutes by default: it is
 * paused, wiped, stopped, killed and started anew, full, and its records are damaged, cut and exchanged. Every answer is held against
 * that of a model without a tier, to the bit of its log-probabilities. In the end no block may be held, memory may not have grown, and
 * nothing may keep the program alive.
 *
 *   npm run test:tier-faults -- --minutes 2
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type LanguageModel, load } from "../../src/index.js";
import { redisTier } from "../../src/tier/index.js";
import { freePort } from "../fleet/child-process.js";
import { arbitraryPrompt, writeModel } from "../fleet/fleet-models.js";
import { type RedisServer, startRedis } from "../fleet/redis-server.js";
import { seededRandom } from "../seeded-random.js";

const USAGE = `npm run test:tier-faults -- [options]

  --minutes <minutes>  how long (default: 10)
  --seed <number>      what happens, and who asks what (default: 1)
  --help               show this help
`;

const { values } = parseArgs({
  options: {
    help: { type: "boolean", short: "h", default: false },
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
  },
});
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const minutes = Number(values.minutes);
if (!(minutes > 0 && Number.isInteger(Number(values.seed)))) {
  process.stderr.write("--minutes is a positive number, --seed a whole one.\n");
  process.exit(2);
}

const CLIENTS = 16;
/** Texts that prompts begin like, of so many tokens; more of them than K and V have memory for. */
const TEXTS = 30;
const TOKENS = 12 * 16;
const KV_MEMORY = "2MiB";
const EVERY_MS = 5000;
const FAULT_MS = 3000;
/** Resident memory may change by so much after the first third. */
const GROWTH_BYTES = 24e6;
/** Milliseconds in which the program has to end by itself. */
const END_MS = 10_000;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;
const random = seededRandom(Number(values.seed));
const below = (count: number) => Math.floor(random() * count);

const folder = await mkdtemp(join(tmpdir(), "lastrow-tier-faults-"));
const source = await writeModel(folder, "model", "slow");
const port = await freePort();
let redis: RedisServer = await startRedis({ port });

/** What is asked: each text with two endings. */
const questions = Array.from({ length: 2 * TEXTS }, (_, i) => [
  ...arbitraryPrompt(TOKENS, 1 + (i % TEXTS)),
  ...arbitraryPrompt(5, 100 + i),
]);
async function answerOf(lm: LanguageModel, question: number): Promise<string> {
  const options = { maxTokens: 3, temperature: 1, seed: question, logprobs: 1, ignoreEos: true };
  const { tokens, logprobs } = await lm.generate(questions[question], options).result();
  return JSON.stringify([tokens, logprobs]);
}

const plain = await load(source, { threads: 1 });
const expected: string[] = [];
for (const question of questions.keys()) expected.push(await answerOf(plain, question));
await plain.dispose();

const tier = redisTier({ url: redis.url, key: new Uint8Array(32).fill(1), write: "first" });
const lm = await load(source, { threads: 1, kvMemory: KV_MEMORY, tier });

const DAMAGE = "of damaged records";
/** Each begins, and gives what ends it. */
const faults: Readonly<Record<string, () => Promise<() => unknown>>> = {
  paused: async () => {
    await redis.ask("client", "pause", String(FAULT_MS), "all");
    return () => undefined;
  },
  [DAMAGE]: async () => {
    const names = (await redis.ask("keys", "lr1:*")).split("\n").filter((name) => name !== "");
    for (const [i, name] of names.entries()) {
      const kind = below(6);
      if (kind === 0) await redis.ask("setrange", name, String(below(16_000)), "?");
      if (kind === 1) await redis.ask("set", name, "cut");
      if (kind === 2) await redis.ask("copy", names[(i + 1) % names.length], name, "replace");
    }
    return () => undefined;
  },
  stopped: async () => {
    redis.child.kill("SIGSTOP");
    return () => redis.child.kill("SIGCONT");
  },
  wiped: async () => {
    await redis.ask("flushall");
    return () => undefined;
  },
  "killed and started anew": async () => {
    await redis[Symbol.asyncDispose]();
    return async () => {
      redis = await startRedis({ port });
    };
  },
  full: async () => {
    await redis.ask("config", "set", "maxmemory", "1");
    return () => redis.ask("config", "set", "maxmemory", "0");
  },
};

const end = performance.now() + minutes * 60_000;
const memory: number[] = [];
let answers = 0;
let wrong = 0;

async function client(): Promise<void> {
  while (performance.now() < end) {
    const question = below(questions.length);
    if ((await answerOf(lm, question)) !== expected[question]) wrong += 1;
    answers += 1;
  }
}

/** After each of the others records are damaged; the full store, to which nothing is written for half a minute, comes last. */
const ORDER = Object.keys(faults).flatMap((name) => (name === DAMAGE ? [] : [DAMAGE, name]));

async function trouble(): Promise<void> {
  for (let i = 0; performance.now() < end; i++) {
    const name = ORDER[i % ORDER.length];
    const endFault = await faults[name]();
    await sleep(FAULT_MS);
    await endFault();
    await sleep(EVERY_MS - FAULT_MS);
    collectGarbage();
    memory.push(process.memoryUsage.rss());
    const { hits, misses, rejected, timeouts, written, breaker } = (await lm.tierStats())!;
    const numRejected = Object.values(rejected).reduce((sum, count) => sum + count);
    process.stdout.write(
      `${name}: ${answers} answers, ${wrong} wrong; ${hits} records read, ${misses} missing, ${numRejected} rejected, ${written} written, ${timeouts} loads timed out; breaker ${breaker}; ${inMegabytes(memory.at(-1)!)}\n`,
    );
  }
}

await Promise.all([trouble(), ...Array.from({ length: CLIENTS }, client)]);
const { blocks, sequences } = await lm.stats();
const { rejected, hits } = (await lm.tierStats())!;
await lm.dispose();
await redis[Symbol.asyncDispose]();
await rm(folder, { recursive: true });

const settled = memory.slice(Math.floor(memory.length / 3));
const half = Math.floor(settled.length / 2);
const growth = median(settled.slice(half)) - median(settled.slice(0, half));
const left = sequences.idle + sequences.running + sequences.waiting;
const numRejected = Object.values(rejected).reduce((sum, count) => sum + count);
process.stdout.write(
  `${answers} answers, ${wrong} wrong; ${hits} records read and ${numRejected} rejected; ${blocks.referenced} blocks referenced, ${left} sequences; memory changed by ${inMegabytes(growth)}\n`,
);
if (
  wrong > 0 ||
  hits === 0 ||
  numRejected === 0 ||
  blocks.referenced > 0 ||
  left > 0 ||
  growth > GROWTH_BYTES
)
  process.exitCode = 1;
setTimeout(() => {
  process.stdout.write(`It does not end: ${process.getActiveResourcesInfo().join(", ")}.\n`);
  process.exit(1);
}, END_MS).unref();

function median(part: readonly number[]): number {
  return [...part].sort((a, b) => a - b)[Math.floor(part.length / 2)] ?? 0;
}

function inMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
