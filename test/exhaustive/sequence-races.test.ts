/**
 * Two requests at one sequence at once: what they answer and what is left is what one order of the two would give, nobody
 * else notices, and no limit is exceeded.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { modelFolders } from "../fixture-models.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";
import { errorOf, type Served, served } from "../server/served.js";
import { soon } from "../soon.js";

/** Of the model here. */
const BYTES_PER_TOKEN = 128;

/** Random weights and the embedded model's tokenizer. */
async function smallModel() {
  const tokenizer = await readFile(join(modelFolders.stories, "tokenizer.json"));
  return memoryFiles("m", { ...randomModelFiles({ vocab: 2048 }), "tokenizer.json": tokenizer });
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-races-"));
});
afterAll(() => rm(folder, { recursive: true }));

type Ask = (api: Served, id: string) => Promise<Response>;

const one = (id: string) => `/v1/sequences/${id}`;
const REQUESTS: Readonly<Record<string, Ask>> = {
  begin: (api) => api.post("/v1/sequences", { prompt: [7, 8] }),
  append: (api, id) => api.post(`${one(id)}/append`, { prompt: [5, 6], top_logprobs: 2 }),
  "append a text": (api, id) => api.post(`${one(id)}/append`, { prompt: " y" }),
  truncate: (api, id) => api.post(`${one(id)}/truncate`, { length: 4 }),
  fork: (api, id) => api.post(`${one(id)}/fork`, {}),
  save: (api, id) => api.post(`${one(id)}/save`, { name: "v" }),
  restore: (api) => api.post("/v1/sequences/restore", { name: "v" }),
  "restore in place": (api, id) => api.post(`${one(id)}/restore`, { name: "v" }),
  "list saved": (api) => api.get("/v1/saved-sequences"),
  "delete saved": (api) => api.delete("/v1/saved-sequences/v"),
  get: (api, id) => api.get(one(id)),
  list: (api) => api.get("/v1/sequences"),
  delete: (api, id) => api.delete(one(id)),
};
const NAMES = Object.keys(REQUESTS);

/** What of an answer does not depend on the moment: ids become names. */
async function plain(answer: Response, heldId: string): Promise<string> {
  const text = await answer.text();
  const body = text === "" ? null : JSON.parse(text);
  const shown = JSON.stringify(body, (key, value) => {
    if (["created", "expires_at", "cached_tokens", "message"].includes(key)) return undefined;
    if (typeof value !== "string" || !value.startsWith("seq-")) return value;
    return value === heldId ? "held" : "another";
  });
  return `${answer.status} ${shown}`;
}

interface SequenceList {
  readonly data: readonly { readonly id: string; readonly length: number }[];
}

/**
 * Two requests at a sequence of five tokens, of which three were saved: their answers, and what is left. What is counted
 * is what there is.
 * @param hasSaved whether what is saved matters: to write a file takes longer than all the rest
 */
async function outcome(api: Served, hasSaved: boolean, run: (id: string) => Promise<Response[]>) {
  const [{ sequences }] = api.server.service.models.loaded;
  const expectCounted = async () => {
    const { data }: SequenceList = await (await api.get("/v1/sequences")).json();
    const tokens = data.reduce((sum, { length }) => sum + length, 0);
    const counted = data.length === 0 ? [] : [["anonymous", { count: data.length, tokens }]];
    expect([...sequences.accounts]).toEqual(counted);
    return data;
  };
  const { id } = await (await api.post("/v1/sequences", { prompt: [1, 2, 3] })).json();
  if (hasSaved) expect((await api.post(`${one(id)}/save`, { name: "v" })).status).toBe(200);
  expect((await api.post(`${one(id)}/append`, { prompt: [4, 5] })).status).toBe(200);
  const answers = [];
  for (const answer of await run(id)) answers.push(await plain(answer, id));
  const left = [];
  for (const held of await expectCounted()) {
    left.push(await plain(await api.get(one(held.id)), id));
    // It has its rows and no others: its next logits show it.
    await api.post(`${one(held.id)}/truncate`, { length: Math.max(1, held.length - 1) });
    left.push(await plain(await api.post(`${one(held.id)}/append`, { prompt: [9], top_logprobs: 2 }), id));
    expect((await api.delete(one(held.id))).status).toBe(204);
  }
  if (hasSaved) left.push(await plain(await api.post("/v1/sequences/restore", { name: "v" }), id));
  for (const held of await expectCounted()) await api.delete(one(held.id));
  expect(await expectCounted()).toEqual([]);
  return [...answers, "left:", ...left].join("\n");
}

const GROWING = ["begin", "append", "truncate", "fork", "restore", "restore in place", "delete"];

describe.each([
  { what: "as many sequences as there may be", names: NAMES, sequences: 2, tokens: 1000 },
  { what: "as many bytes as there may be", names: GROWING, sequences: 3, tokens: 11 },
])("with $what", ({ names, sequences, tokens }) => {
  let api: Served;
  const states: string[] = [];
  beforeAll(async () => {
    api = await served({
      model: await smallModel(),
      saveDir: join(folder, `${sequences}`),
      limits: { sequences, sequenceBytes: tokens * BYTES_PER_TOKEN },
      onEngine: (state) => states.push(state),
    });
    expect(api.server.loaded[0].info.kv.bytesPerToken).toBe(BYTES_PER_TOKEN);
  });
  afterAll(async () => {
    expect(api.failures).toEqual([]);
    // No other sequence noticed.
    expect(states).toEqual(["ready"]);
    await api[Symbol.asyncDispose]();
  });

  test.each(names)("%s beside each other", async (a) => {
    for (const b of names.slice(names.indexOf(a))) {
      const hasSaved = /save|restore/.test(a + b);
      const inOrder = (x: string, y: string) =>
        outcome(api, hasSaved, async (id) => {
          const answers = [await REQUESTS[x](api, id), await REQUESTS[y](api, id)];
          return x === a ? answers : answers.reverse();
        });
      const orders = [await inOrder(a, b), await inOrder(b, a)];
      for (const order of orders) expect(order).toMatch(/^((2\d\d|400|404|409|429) .*\n){2}left:/);
      const together = (x: string, y: string, turns: number) =>
        outcome(api, hasSaved, async (id) => {
          const begun = REQUESTS[x](api, id);
          for (let i = 0; i < turns; i++) await nextTurn();
          const answers = await Promise.all([begun, REQUESTS[y](api, id)]);
          return x === a ? answers : answers.reverse();
        });
      expect(orders, `${a}, ${b}`).toContain(await together(a, b, 0));
      expect(orders, `${b}, ${a}`).toContain(await together(b, a, 0));
      expect(orders, `${a}, later ${b}`).toContain(await together(a, b, 2));
    }
  });
});

/** A model that cannot compute token 60 as the fourth: its two embeddings are finite, their sum is not. */
function failingModel() {
  const files = randomModelFiles({ tied: false });
  const bytes = files["model.safetensors"];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  for (const [name, row] of Object.entries({ "transformer.wte.weight": 60, "transformer.wpe.weight": 3 })) {
    const { data_offsets, shape } = header[name];
    const start = 8 + length + data_offsets[0] + row * shape[1] * 4;
    for (let i = 0; i < shape[1]; i++) view.setFloat32(start + i * 4, 3e38, true);
  }
  return memoryFiles("m", files);
}

test("a sequence whose computation fails is gone, and nothing else", async () => {
  const states: string[] = [];
  await using api = await served({
    model: failingModel(),
    limits: { sequences: 2 },
    onEngine: (state) => states.push(state),
  });
  const begin = async () => (await (await api.post("/v1/sequences", { prompt: [1, 2] })).json()).id;
  const [a, b] = [await begin(), await begin()];
  const failed = await api.post(`${one(a)}/append`, { prompt: [3, 60] });
  expect(await errorOf(failed)).toMatchObject({ status: 500, code: "numerical_error" });
  for (const name of ["append", "fork", "get", "delete"]) {
    expect(await errorOf(await REQUESTS[name](api, a))).toMatchObject({
      status: 404,
      code: "sequence_not_found",
    });
  }
  // Its place is free.
  await begin();
  expect((await api.post(`${one(b)}/append`, { prompt: [3] })).status).toBe(200);
  const refused = await api.post("/v1/sequences", { prompt: [1] });
  expect(await errorOf(refused)).toMatchObject({ status: 429, code: "sequence_limit" });
  // And one that could not be made has left none behind.
  await api.delete(one(b));
  for (let i = 0; i < 3; i++) {
    const answer = await api.post("/v1/sequences", { prompt: [1, 2, 3, 60] });
    expect(await errorOf(answer)).toMatchObject({ status: 500, code: "numerical_error" });
  }
  await begin();
  expect(states).toEqual(["ready"]);
});

test("what a client does not wait for any more is not done, and leaves no sequence behind", async () => {
  await using api = await served({ model: modelFolders.tiny });
  const { id } = await (await api.post("/v1/sequences", { prompt: [1] })).json();
  const client = new AbortController();
  const { signal } = client;
  const first = api.post(`${one(id)}/append`, { prompt: [2, 3] });
  const unwanted = [
    api.post(`${one(id)}/append`, { prompt: [4] }, { signal }),
    api.post(`${one(id)}/fork`, {}, { signal }),
    api.post("/v1/sequences", { prompt: [5] }, { signal }),
  ];
  client.abort();
  for (const answer of await Promise.all(unwanted)) expect(answer.status).toBe(499);
  expect((await (await first).json()).tokens).toEqual([1, 2, 3]);
  const { data } = await (await api.get("/v1/sequences")).json();
  expect(data.map(({ tokens }: { tokens: number[] }) => tokens)).toEqual([[1, 2, 3]]);
});

test("what waits for its turn at a sequence that is deleted meanwhile finds none", async () => {
  await using api = await served({
    model: await smallModel(),
    saveDir: join(folder, "waiting"),
    limits: { concurrent: 1 },
  });
  const { admission, models } = api.server.service;
  const [{ sequences }] = models.loaded;
  const names = ["append", "append a text", "truncate", "fork", "save", "restore in place"];
  for (let round = 0; round < 2; round++) {
    const { id } = await (await api.post("/v1/sequences", { prompt: [1, 2, 3, 4, 5] })).json();
    await api.post(`${one(id)}/save`, { name: "v" });
    const long = { prompt: [1], max_tokens: 30, ignore_eos: true, n: 16, stream: true };
    const running = await api.post("/v1/completions", long);
    const waiting = names.map((name) => REQUESTS[name](api, id));
    await soon(() => expect(admission.waiting).toBe(names.length));
    expect((await api.delete(one(id))).status).toBe(204);
    await running.body!.cancel();
    for (const [i, answer] of (await Promise.all(waiting)).entries()) {
      expect(await errorOf(answer), names[i]).toMatchObject({ status: 404, code: "sequence_not_found" });
    }
    expect([...sequences.accounts]).toEqual([]);
  }
});

test("the bytes of a key's sequences are counted to the last token, whatever makes them grow", async () => {
  await using api = await served({
    model: await smallModel(),
    saveDir: join(folder, "exact"),
    limits: { sequenceBytes: 7 * BYTES_PER_TOKEN },
  });
  const begin = (count: number) => api.post("/v1/sequences", { prompt: new Array(count).fill(3) });
  const append = (id: string, count: number) =>
    api.post(`${one(id)}/append`, { prompt: new Array(count).fill(4) });
  const restoreIn = (id: string) => api.post(`${one(id)}/restore`, { name: "v" });
  const restore = () => api.post("/v1/sequences/restore", { name: "v" });
  const fits = async (answer: Promise<Response>) => {
    const response = await answer;
    expect(response.status).toBe(200);
    return (await response.json()).id as string;
  };
  const isOver = async (answer: Promise<Response>) => {
    expect(await errorOf(await answer)).toMatchObject({ status: 429, code: "sequence_limit" });
  };
  // A second round is as the first.
  for (let round = 0; round < 2; round++) {
    await isOver(begin(8));
    const a = await fits(begin(3));
    await api.post(`${one(a)}/save`, { name: "v" });
    await isOver(append(a, 5));
    await fits(append(a, 1));
    await isOver(api.post(`${one(a)}/fork`, {}));
    await isOver(begin(4));
    const b = await fits(restore());
    await isOver(restore());
    await isOver(append(b, 1));
    // It takes the place of four, and so there is room for one more.
    await fits(restoreIn(a));
    await isOver(append(b, 2));
    await fits(append(b, 1));
    await fits(api.post(`${one(b)}/truncate`, { length: 1 }));
    await fits(api.post(`${one(a)}/fork`, {}));
    // It would be three in the place of one.
    await isOver(restoreIn(b));
    expect((await api.get(one(b))).status).toBe(200);
    const { data }: SequenceList = await (await api.get("/v1/sequences")).json();
    expect(data.map(({ length }) => length)).toEqual([3, 1, 3]);
    for (const { id } of data) expect((await api.delete(one(id))).status).toBe(204);
  }
});
