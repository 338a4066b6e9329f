/** Two keys, one of which floods: what the other gets, through the whole server. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { folderFiles } from "../../src/platform/disk-files.js";
import { TextThread } from "../../src/server/text-thread.js";
import { loadTokenizer } from "../../src/tokenizer/load-tokenizer.js";
import { modelFolders } from "../fixture-models.js";
import { soon } from "../soon.js";
import { type Served, served } from "./served.js";

const FLOOD = { headers: { authorization: "Bearer sk-flood-0123456789" } };
const GUEST = { headers: { authorization: "Bearer sk-guest-0123456789" } };

let folder: string;
let api: Served;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-fairness-"));
  const file = join(folder, "keys.txt");
  await writeFile(file, "flood sk-flood-0123456789\nguest sk-guest-0123456789\n");
  api = await served({ apiKeys: file });
});
afterAll(async () => {
  await api.server.dispose();
  await rm(folder, { recursive: true });
});

const ids = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => 300 + ((from + i) % 900));

test("beside requests of 128 texts each, the other key's prompt has its first token within two steps", async () => {
  const leaving = new AbortController();
  const prompts = Array.from({ length: 8 }, (_, i) => ids(i * 50, 40));
  const flood = [
    { prompt: prompts, n: 16, max_tokens: 400, ignore_eos: true },
    { prompt: prompts, n: 16, max_tokens: 400, ignore_eos: true, speculate: 8 },
    ...prompts.map((prompt) => ({ prompt, num_beams: 16, max_tokens: 300, ignore_eos: true })),
    ...prompts.map((prompt) => ({
      prompt: [...prompt, ...ids(7, 400)],
      max_tokens: 1,
      echo: true,
      logprobs: 1,
    })),
    ...Array.from({ length: 60 }, () => ({
      prompt: Array(64).fill("Once upon a time. ".repeat(60)),
      max_tokens: 1,
    })),
  ];
  const asked = flood.map((body) =>
    api.post("/v1/completions", body, { ...FLOOD, signal: leaving.signal }).then(({ status }) => status),
  );
  // The engine is busy with it.
  await soon(async () => {
    const text = await (await api.get("/metrics", GUEST.headers)).text();
    expect(Number(/^vllm:num_requests_running\{[^}]*\} (\d+)/m.exec(text)?.[1])).toBeGreaterThan(60);
  });
  for (const [i, prompt] of [ids(11, 256), "Tom had a ball", ids(300, 200)].entries()) {
    const answer = await api.post("/v1/completions", { prompt, max_tokens: 4, ignore_eos: true }, GUEST);
    expect(answer.status).toBe(200);
    await soon(() =>
      expect(
        api.records.filter(({ key, route }) => key === "guest" && route === "/v1/completions"),
      ).toHaveLength(i + 1),
    );
    const record = api.records.findLast(({ key, route }) => key === "guest" && route === "/v1/completions");
    expect(record).toMatchObject({ status: 200, error: null });
    expect(record!.firstTokenSteps).toBeGreaterThan(0);
    expect(record!.firstTokenSteps).toBeLessThanOrEqual(2);
  }
  leaving.abort();
  const statuses = await Promise.all(asked);
  // Its part is half of the places.
  expect(statuses.filter((status) => status === 429)).toHaveLength(flood.length - 64);
  const text = await (await api.get("/metrics", GUEST.headers)).text();
  expect(text).toMatch(/lastrow:engine_restarts_total\{[^}]*\} 0/);
  expect(api.failures).toEqual([]);
}, 60_000);

test("a request counts as the texts that it makes", async () => {
  const leaving = new AbortController();
  const ask = () =>
    api.post(
      "/v1/completions",
      { prompt: [ids(1, 5), ids(9, 5)], n: 16, max_tokens: 400, ignore_eos: true, stream: true },
      { ...GUEST, signal: leaving.signal },
    );
  const { admission } = api.server.service;
  const before = admission.running;
  const [first, second] = [await ask(), await ask()];
  // 64 texts and two requests: a key's part.
  expect(admission.running - before).toBe(66);
  const third = ask().catch(() => undefined);
  await soon(() => expect(admission.waiting).toBe(1));
  leaving.abort();
  await Promise.allSettled([first.text(), second.text(), third]);
  await soon(() => expect([admission.running, admission.waiting]).toEqual([0, 0]));
});

test("a text is tokenised after at most one text of each other key", async () => {
  const { vocab_size } = JSON.parse(await readFile(join(modelFolders.stories, "config.json"), "utf8"));
  const tokenizer = await loadTokenizer(folderFiles("stories", modelFolders.stories), vocab_size);
  const data = {
    tokenizer: tokenizer!.portable()!,
    vocabSize: vocab_size,
    contextLength: 512,
    chatTemplate: { missing: "has no chat template" },
    isTemplateGiven: false,
    renderMs: 5000,
  };
  const thread = await TextThread.start(data, 5000);
  try {
    const { signal } = new AbortController();
    const done: string[] = [];
    const encode = (key: string) =>
      thread.encode("Once upon a time", { caller: { key, signal } }).then(() => done.push(key));
    const first = encode("a");
    const others = ["a", "a", "a", "b", "b", "c"].map(encode);
    const guest = encode("guest");
    await guest;
    // The one that was at work, then one of each; the next ones of these come behind it.
    expect(done).toEqual(["a", "b", "c", "guest"]);
    await Promise.all([first, ...others]);
    expect(done).toEqual(["a", "b", "c", "guest", "a", "b", "a", "a"]);
    const gone = new AbortController();
    const busy = encode("a");
    const left = thread.encode("Tom", { caller: { key: "b", signal: gone.signal } });
    gone.abort();
    await expect(left).rejects.toMatchObject({ code: "client_closed_request" });
    await busy;
  } finally {
    await thread.dispose();
  }
});
