/**
 * `npm run test:keys`: a server of two models with two keys, one of which sends whatever costs most, for ten minutes. The other one's
 * prompts of up to 256 tokens have their first token within two steps of the engine, nothing of it is refused, the engine
 * is never restarted, and after the warm-up the process's memory stays what it is.
 *
 *   npm run test:keys -- --minutes 10
 */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { modelFolders } from "../fixture-models.js";
import { seededRandom } from "../seeded-random.js";
import { start } from "../serving/serve-process.js";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  process.stderr.write("--minutes is a number above 0.\n");
  process.exit(2);
}

/** Of two models the one that both keys use, and the one that only the flood does. */
const FIRST = "stories";
const SECOND = "second";
const FLOOD = "sk-flood-0123456789";
const GUEST = "sk-guest-0123456789";
/** Requests of the flood that are under way at once: more than a key may have. */
const LINES = 80;
/** Share of the time before memory is expected to stay what it is. */
const WARM_UP = 0.3;
/** Growth that counts as one: heaps and the allocator have ups and downs under load. */
const GROWTH_BYTES = 60e6;
/** Steps within which a prompt of at most 256 tokens has its first token. */
const BOUND = 2;

/** What is asked is the same each time; when it comes is not. */
const random = seededRandom(1);
const ids = (count: number) => Array.from({ length: count }, () => 300 + Math.floor(random() * 1500));
const among = <T>(...choices: readonly T[]): T => choices[Math.floor(random() * choices.length)];
/** What the flood sends. */
type Attack = () => { readonly path: string; readonly body: unknown; readonly method?: string };

const attacks: readonly Attack[] = [
  () => completion({ prompt: Array.from({ length: 8 }, () => ids(30)), n: 16, max_tokens: 480 }),
  () => completion({ prompt: Array.from({ length: 64 }, () => ids(400)), max_tokens: 1 }),
  () => completion({ prompt: ids(500), max_tokens: 1, echo: true, logprobs: 5 }),
  () => completion({ prompt: ids(20), num_beams: 16, max_tokens: 200 }),
  () => completion({ prompt: "the cat and ".repeat(20), speculate: 15, n: 16, max_tokens: 300 }),
  () => completion({ prompt: "Once", stop: [" dog", "never"], n: 16, max_tokens: 400, stream: true }),
  () => completion({ prompt: Array(64).fill("ab".repeat(2700)), max_tokens: 1 }),
  () => completion({ prompt: ids(10), max_tokens: 500, logprobs: 20, n: 8, cache_salt: "the same" }),
  () => embeddings({ input: Array.from({ length: 400 }, () => ids(500)), pooling: "mean" }),
  () => embeddings({ input: Array(2000).fill("the cat and the dog ".repeat(20)), pooling: "last" }),
  () => embeddings({ input: Array.from({ length: 1000 }, () => ids(100)), pooling: "last" }),
  () => ({ path: "/v1/rerank", body: { query: "ab".repeat(2700), documents: Array(2000).fill("a") } }),
  // A second model beside the guest's, which comes and goes.
  () => completion({ model: SECOND, prompt: ids(300), max_tokens: 40, n: 4 }),
  () => ({ path: "/v1/sequences", body: { model: SECOND, prompt: ids(30) } }),
  () => ({ path: "/tokenize", body: { model: FIRST, prompt: "\u00e9 !aA1".repeat(800) } }),
  () => ({ path: "/v1/completions", body: `[${"-1,".repeat(200_000)}-1]` }),
  () => ({ path: "/v1/completions", body: `{"prompt":[${"{},".repeat(200_000)}{}]}` }),
  () => ({ path: "/api/generate", body: ollama({ prompt: "Tom and ".repeat(60), raw: true }) }),
  () => ({ path: "/api/generate", body: ollama({ prompt: "Once", stream: false, format: "json" }) }),
  () => ({ path: "/api/chat", body: `{"model":"stories","messages":[${"{},".repeat(200_000)}{}]}` }),
  () => ({
    path: "/v1/messages",
    body: `{"model":"stories","system":[${'{"type":"text"},'.repeat(9_000)}{}]}`,
  }),
  () => ({ path: "/api/show", body: { model: "x".repeat(100_000) } }),
  () => ({ path: "/v1/responses", body: `{"input":[${"{},".repeat(200_000)}{}]}` }),
  () => ({
    path: "/v1/responses",
    body: { model: FIRST, input: Array(1000).fill({ type: "item_reference", id: "msg_1" }) },
  }),
  () => ({ path: "/v1/sequences", body: { model: FIRST, prompt: ids(200), top_logprobs: 3 } }),
  () => ({ path: `/v1/sequences/${heldId}/append`, body: { prompt: ids(20) } }),
  () => ({ path: `/v1/sequences/${heldId}/fork`, body: {} }),
  () => ({ path: `/v1/sequences/${heldId}`, body: undefined, method: "DELETE" }),
];
let heldId = "seq-none";

function completion(body: object) {
  return { path: "/v1/completions", body: { model: FIRST, ignore_eos: true, ...body } };
}

function ollama(body: object) {
  return { model: "stories", ...body };
}

function embeddings(body: object) {
  return { path: "/v1/embeddings", body };
}

const folder = await mkdtemp(join(tmpdir(), "lastrow-keys-"));
const keysFile = join(folder, "keys.txt");
await writeFile(keysFile, `flood ${FLOOD}\nguest ${GUEST}\n`);
const models = ["--model", FIRST, "--model", `${SECOND}=${modelFolders.stories}`, "--idle", "2s"];
const { child, url, log } = await start("--api-keys", keysFile, ...models);
const until = performance.now() + minutes * 60_000;
const isOver = () => performance.now() >= until || child.exitCode !== null;

function send(key: string, { path, body, method = "POST" }: ReturnType<Attack>, signal?: AbortSignal) {
  return fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    signal: signal ?? null,
  });
}

const statuses = new Map<number | string, number>();
async function flood(): Promise<void> {
  while (!isOver()) {
    const attack = among(...attacks)();
    const leaves = random() < 0.4;
    let status: number | string = "left";
    try {
      const signal = leaves ? AbortSignal.timeout(random() * 3000) : AbortSignal.timeout(60_000);
      const answer = await send(FLOOD, attack, signal);
      status = answer.status;
      const text = await answer.text();
      if (attack.path === "/v1/sequences" && status === 200) heldId = JSON.parse(text).id;
    } catch {
      // It left, or was cut off.
    }
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if (status === 429) await sleep(50);
  }
}

interface Sample {
  readonly rssBytes: number;
  readonly firstMs: number;
}
const samples: Sample[] = [];
const wrong: string[] = [];
async function guest(): Promise<void> {
  while (!isOver()) {
    const begun = performance.now();
    const prompt = among<readonly number[] | string>(
      ids(256),
      ids(1 + Math.floor(random() * 256)),
      "Tom had a ball",
    );
    const answer = await send(GUEST, completion({ prompt, max_tokens: 4 }), AbortSignal.timeout(60_000));
    const text = await answer.text();
    if (answer.status !== 200) wrong.push(`the guest was answered ${answer.status}: ${text.slice(0, 200)}`);
    const firstMs = performance.now() - begun;
    const metrics = await (
      await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${GUEST}` } })
    ).text();
    const value = (name: string) =>
      Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(metrics)?.[1]);
    samples.push({ rssBytes: value("process_resident_memory_bytes"), firstMs });
    if (value("lastrow:engine_restarts_total") !== 0) wrong.push("the engine was restarted");
    await sleep(200);
  }
}

await Promise.all([
  guest().catch((error) => wrong.push(`the guest met ${error}`)),
  ...Array.from({ length: LINES }, flood),
]);
if (child.exitCode !== null)
  wrong.push(`the server ended with ${child.exitCode}: ${log.slice(-5).join("\n")}`);
child.kill("SIGTERM");
if (child.exitCode === null) await once(child, "exit");
await rm(folder, { recursive: true });

const records = log.flatMap((line) => {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
});
const steps = records
  .filter(({ key, firstTokenSteps }) => key === "guest" && typeof firstTokenSteps === "number")
  .map(({ firstTokenSteps }): number => firstTokenSteps);
if (steps.length === 0) wrong.push("the log says nothing of the guest");
const late = steps.filter((count) => count > BOUND);
if (late.length > 0)
  wrong.push(`${late.length} first tokens were late, the latest by ${Math.max(...late)} steps`);
const failed = records.filter(({ status }) => status >= 500);
if (failed.length > 0) wrong.push(`${failed.length} answers of 5xx: ${JSON.stringify(failed[0])}`);

const settled = samples.slice(Math.floor(WARM_UP * samples.length));
const middle = Math.floor(settled.length / 2);
const median = (numbers: readonly number[]) =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const rss = (part: readonly Sample[]) => median(part.map(({ rssBytes }) => rssBytes));
const growth = rss(settled.slice(middle)) - rss(settled.slice(0, middle));
if (!(growth <= GROWTH_BYTES)) wrong.push(`memory grew by ${(growth / 1e6).toFixed(0)} MB`);

const shares = [1, 2, 3].map((count) => `${steps.filter((s) => (count < 3 ? s === count : s > 2)).length}`);
process.stdout.write(
  `${[
    `${minutes} minutes; the flood's answers: ${[...statuses]
      .sort()
      .map((pair) => pair.join(" × "))
      .join(", ")}`,
    `the other key: ${steps.length} first tokens, after 1 step ${shares[0]}, after 2 ${shares[1]}, later ${shares[2]}; whole answers ${median(samples.map(({ firstMs }) => firstMs)).toFixed(0)} ms in the middle, ${Math.max(...samples.map(({ firstMs }) => firstMs)).toFixed(0)} ms at most`,
    `memory: ${(rss(settled.slice(0, middle)) / 1e6).toFixed(0)} MB, then ${(rss(settled.slice(middle)) / 1e6).toFixed(0)} MB`,
    ...wrong.map((what) => `WRONG: ${what}`),
  ].join("\n")}\n`,
);
if (wrong.length > 0) process.exitCode = 1;
