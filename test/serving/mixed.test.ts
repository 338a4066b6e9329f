/** Two hundred requests at once, of all kinds: each text is what its request gives alone, and nothing is left behind. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LanguageModel, load } from "../../src/index.js";
import { errorOf, type Served, served } from "../server/served.js";
import { soon } from "../soon.js";

let api: Served;
let lm: LanguageModel;
beforeAll(async () => {
  api = await served({ kvMemory: "6MiB", limits: { concurrent: 48, queue: 200 } });
  lm = await load(undefined, { threads: 1 });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await lm.dispose();
});

const REQUESTS = 200;
const PROMPTS = ["Once upon a time", "Tom had a red ball and a big dog", "Lily saw a cat.", "The moon"];

interface Choice {
  readonly index: number;
  readonly text: string;
  readonly logprobs: { readonly token_logprobs: number[] } | null;
}

test("mixed requests at once", async () => {
  const checks = Array.from({ length: REQUESTS }, (_, i) => one(i));
  await Promise.all(checks);
  await soon(() => expect(api.records).toHaveLength(REQUESTS));
  expect(api.failures).toEqual([]);
  const metrics = await (await api.get("/metrics")).text();
  expect(metrics).toMatch(/vllm:kv_cache_usage_perc\{[^}]*\} 0\n/);
  expect(metrics).toMatch(/vllm:num_requests_running\{[^}]*\} 0\n/);
  expect(metrics).toMatch(/vllm:num_requests_waiting\{[^}]*\} 0\n/);
}, 120_000);

/** Request number `i`, checked against the library. */
async function one(i: number): Promise<void> {
  const kind = i % 8;
  if (kind === 7) {
    const bad = [{ prompt: {} }, "{", { prompt: "a", n: 99 }, { prompt: Array(600).fill(1) }][i % 4];
    expect(await errorOf(await api.post("/v1/completions", bad))).toMatchObject({ status: 400 });
    return;
  }
  const n = kind === 1 || kind === 4 ? 4 : 1;
  const maxTokens = 4 + (i % 13);
  const body = {
    ...{ prompt: PROMPTS[i % PROMPTS.length], seed: i, n, max_tokens: maxTokens, temperature: 1 },
    ...(kind === 2 && { logprobs: 1 }),
    ...(kind >= 3 && { stream: true, logprobs: 0 }),
  };
  if (kind === 5) {
    await leaveEarly(i, body);
    return;
  }
  const response = await api.post("/v1/completions", body);
  expect(response.status).toBe(200);
  const choices = kind < 3 ? (await response.json()).choices : await readChoices(response, kind === 6, n);
  const own = await lm.generate(body.prompt, { seed: i, n, maxTokens, temperature: 1, logprobs: 0 }).result();
  for (const { index, text, logprobs } of choices as Choice[]) {
    expect(text).toBe(own.choices[index].text);
    if (logprobs === null) continue;
    const expected = own.choices[index].logprobs!.map(({ logprob }) => logprob);
    // Equal as doubles, which came through JSON whole.
    expect(new BigUint64Array(new Float64Array(logprobs.token_logprobs).buffer)).toEqual(
      new BigUint64Array(new Float64Array(expected).buffer),
    );
  }
}

/** A client that goes away: before the answer, in the middle, near its end. */
async function leaveEarly(i: number, body: object): Promise<void> {
  const controller = new AbortController();
  const response = api.post("/v1/completions", body, { signal: controller.signal });
  if (i % 3 === 0) {
    controller.abort();
    await response;
    return;
  }
  const reader = (await response).body!.getReader();
  for (let k = 0; k < i % 5; k++) await reader.read();
  if (i % 3 === 1) controller.abort();
  await reader.cancel();
}

/** The choices of a stream; a slow reader takes its time over each piece. */
async function readChoices(response: Response, isSlow: boolean, n: number): Promise<Choice[]> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(bytes, { stream: true });
    if (isSlow) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const chunks = text
    .split("\n\n")
    .filter((event) => event.startsWith("data: {"))
    .flatMap((event) => JSON.parse(event.slice(6)).choices as Choice[]);
  return Array.from({ length: n }, (_, index) => {
    const own = chunks.filter((choice) => choice.index === index);
    return {
      index,
      text: own.map((choice) => choice.text).join(""),
      logprobs: { token_logprobs: own.flatMap(({ logprobs }) => logprobs?.token_logprobs ?? []) },
    };
  });
}
