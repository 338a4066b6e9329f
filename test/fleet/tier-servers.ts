/** `lastrow serve` with a KV tier, what is asked of it, and what it has counted. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { endAll, type Running, startIn } from "../serving/serve-process.js";

/** Folders and files of an installation: gone, with its servers, when it is disposed of. */
export interface Installation extends AsyncDisposable {
  readonly folder: string;
  readonly keyFile: string;
}

export async function newInstallation(): Promise<Installation> {
  const folder = await mkdtemp(join(tmpdir(), "lastrow-fleet-"));
  return {
    folder,
    keyFile: await writeKey(folder, "tier.key", 1),
    async [Symbol.asyncDispose]() {
      endAll();
      await rm(folder, { recursive: true });
    },
  };
}

/** A tier key. */
export async function writeKey(folder: string, name: string, fill: number): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, Buffer.alloc(32, fill), { mode: 0o600 });
  return file;
}

export interface TierServerOptions {
  readonly model: string;
  /** The URL of its Redis, or a folder; null: it has no tier. */
  readonly tier: string | null;
  readonly keyFile?: string;
  readonly args?: readonly string[];
  /** What runs it. */
  readonly by?: readonly string[];
  /** The program; default: this build's. */
  readonly main?: string | undefined;
}

export function startTierServer(options: TierServerOptions): Promise<Running> {
  const { model, tier, keyFile = "", args = [], by, main } = options;
  const flag = tier?.startsWith("/") ? "--tier-file" : "--tier";
  const tierArgs = tier === null ? [] : [flag, tier, "--tier-key-file", keyFile, "--tier-write", "first"];
  return startIn({ by, main }, "--model", model, "--kv-memory", "32MiB", ...tierArgs, ...args);
}

export interface Question {
  readonly prompt: readonly number[];
  readonly seed: number;
  /** Tokens of the answer; default 4. */
  readonly tokens?: number;
}

export interface Answer {
  /** What must be the same wherever it is asked. */
  readonly said: { readonly text: string; readonly logprobs: readonly number[] };
  /** Tokens of the prompt that were not computed for it. */
  readonly cached: number;
}

/** What a question is sent as. */
export function bodyOf({ prompt, seed, tokens = 4 }: Question) {
  return { prompt, seed, max_tokens: tokens, temperature: 1, logprobs: 1, ignore_eos: true };
}

export interface AskOptions {
  readonly apiKey?: string;
  /** Of several. */
  readonly model?: string;
}

/** @throws what vitest says of any status but 200 */
export async function ask(
  { url }: Pick<Running, "url">,
  question: Question,
  { apiKey, model }: AskOptions = {},
): Promise<Answer> {
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
    },
    body: JSON.stringify({ ...bodyOf(question), model }),
  });
  const body = await response.json();
  expect(response.status, JSON.stringify(body)).toBe(200);
  const [{ text, logprobs }] = body.choices;
  expect(logprobs.token_logprobs).toHaveLength(question.tokens ?? 4);
  return {
    said: { text, logprobs: logprobs.token_logprobs },
    cached: body.usage.prompt_tokens_details.cached_tokens,
  };
}

/** Asked by so many clients, each of which waits for its answer before it asks the next one. */
export async function askAll(
  server: Pick<Running, "url">,
  questions: readonly Question[],
  clients = 16,
  { onAnswer = () => undefined, ...options }: AskOptions & { readonly onAnswer?: (i: number) => void } = {},
): Promise<Answer[]> {
  const answers: Answer[] = [];
  let next = 0;
  const client = async () => {
    while (next < questions.length) {
      const i = next++;
      answers[i] = await ask(server, questions[i], options);
      onAnswer(i);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return answers;
}

export const saidOf = (answers: readonly Answer[]) => answers.map(({ said }) => said);

/** What a server's metrics say, of all its models together. */
export async function countersOf({ url }: Pick<Running, "url">, apiKey?: string) {
  const headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  const text = await (await fetch(`${url}/metrics`, { headers })).text();
  const values = (name: string, labels = "") =>
    [...text.matchAll(new RegExp(`^${name}\\{([^}]*)\\} (\\S+)$`, "gm"))]
      .filter((line) => line[1].includes(labels))
      .map((line) => Number(line[2]));
  const sum = (name: string, labels?: string) =>
    values(name, labels).reduce((total, value) => total + value, 0);
  const tier = (name: string, labels?: string) => sum(`lastrow_tier_${name}`, labels);
  return {
    ...{ hits: tier("hits_total"), misses: tier("misses_total"), rejected: tier("rejected_total") },
    rejectedFor: (reason: string) => tier("rejected_total", `reason="${reason}"`),
    ...{ loads: tier("loads_total"), timeouts: tier("timeouts_total") },
    ...{ written: tier("writes_total"), dropped: tier("dropped_writes_total") },
    /** 0: closed; 1: half-open; 2: open. */
    breaker: tier("breaker_state"),
    /** Loads that have ended, and those of them that took no longer than a second. */
    ...{ ended: tier("load_seconds_count"), shortLoads: tier("load_seconds_bucket", 'le="1"') },
    rows: sum("lastrow:engine_rows_total"),
    ...{ running: sum("vllm:num_requests_running"), waiting: sum("vllm:num_requests_waiting") },
    /** Share of the blocks that sequences, or loads for them, hold. */
    held: sum("vllm:kv_cache_usage_perc"),
    restarts: sum("lastrow:engine_restarts_total"),
  };
}

/** Waits until the counters are as expected, or fails with the last ones. */
export function expectSoon<T>(counter: () => Promise<T>, timeout = 20_000) {
  return expect.poll(counter, { timeout, interval: 50 });
}

/** Whatever has happened: nothing runs, waits, or holds a block, and the engine is the one that was started. */
export async function expectNothingStuck(server: Pick<Running, "url">, apiKey?: string): Promise<void> {
  await expectSoon(async () => {
    const { running, waiting, held, restarts } = await countersOf(server, apiKey);
    return { running, waiting, held, restarts };
  }).toEqual({ running: 0, waiting: 0, held: 0, restarts: 0 });
}
