/** Sequences that outlive the server, in one folder and nowhere else. */
import { mkdtemp, readdir, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { errorOf, type Served, served } from "./served.js";

const ALICE = { headers: { authorization: "Bearer sk-alice-0123456789" } };
const BOB = { headers: { authorization: "Bearer sk-bob-01234567890" } };

let folder: string;
let options: { apiKeys: string; saveDir: string; kvMemory: string; limits: { savedBytes: number } };
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-saved-"));
  const apiKeys = join(folder, "keys.txt");
  await writeFile(apiKeys, "alice sk-alice-0123456789\nbob sk-bob-01234567890\n");
  options = { apiKeys, saveDir: join(folder, "saved"), kvMemory: "8MiB", limits: { savedBytes: 1_000_000 } };
});
afterAll(() => rm(folder, { recursive: true }));

const json = async (answer: Promise<Response>) => (await answer).json();
/** The folders of the keys. */
const foldersIn = async (saveDir: string) =>
  (await readdir(saveDir)).filter((name) => name !== "cache-secret").map((name) => join(saveDir, name));
const begin = (api: Served, prompt: string) =>
  json(api.post("/v1/sequences", { prompt, top_logprobs: 3 }, ALICE));

test("a saved sequence comes back in another server, to its owner alone", async () => {
  let before: { id: string; tokens: number[]; top_logprobs: unknown };
  {
    await using api = await served(options);
    before = await begin(api, "Once upon a time there was a little dog who lived in a big house.");
    const saved = await json(api.post(`/v1/sequences/${before.id}/save`, { name: "dog" }, ALICE));
    expect(saved).toMatchObject({ id: before.id, name: "dog" });
    const [own] = await foldersIn(options.saveDir);
    expect((await stat(join(own, "dog.safetensors"))).size).toBe(saved.bytes);
  }
  await using api = await served(options);
  const restored = await json(api.post("/v1/sequences/restore", { name: "dog" }, ALICE));
  expect(restored.tokens).toEqual(before.tokens);
  const appended = await json(
    api.post(`/v1/sequences/${restored.id}/append`, { prompt: " The", top_logprobs: 3 }, ALICE),
  );
  const anew = await begin(api, "Once upon a time there was a little dog who lived in a big house. The");
  expect(appended.top_logprobs).toEqual(anew.top_logprobs);

  const other = await begin(api, "The moon");
  const replaced = await json(api.post(`/v1/sequences/${other.id}/restore`, { name: "dog" }, ALICE));
  expect(replaced).toMatchObject({ id: other.id, tokens: before.tokens });

  const stolen = await api.post("/v1/sequences/restore", { name: "dog" }, BOB);
  const error = await errorOf(stolen);
  expect(error).toMatchObject({ status: 404, code: "saved_sequence_not_found" });
  expect(error.message).not.toContain(folder);
});

test("names are plain, files may be damaged, and there is a limit to them", async () => {
  await using api = await served(options);
  const { id } = await begin(api, "Tom had a red ball");
  for (const name of ["", "..", "../dog", "a/b", "a\\b", ".hidden", "a.b", "a".repeat(65), "\u0000", 7]) {
    const error = await errorOf(await api.post(`/v1/sequences/${id}/save`, { name }, ALICE));
    expect(error, String(name)).toMatchObject({ status: 400, param: "name" });
  }
  await api.post(`/v1/sequences/${id}/save`, { name: "ball" }, ALICE);
  for (const own of await foldersIn(options.saveDir)) await truncate(join(own, "ball.safetensors"), 1000);
  const damaged = await errorOf(await api.post("/v1/sequences/restore", { name: "ball" }, ALICE));
  expect(damaged).toMatchObject({ status: 400, code: "saved_sequence_invalid" });
  await using small = await served({ ...options, limits: { savedBytes: 1000 } });
  const big = await begin(small, "Tom had a red ball");
  const over = await small.post(`/v1/sequences/${big.id}/save`, { name: "more" }, ALICE);
  expect(await errorOf(over)).toMatchObject({ status: 429, code: "saved_limit" });
});

test("what was saved is found by others of its key after a restart", async () => {
  const saveDir = join(folder, "found");
  const prompt = "Once upon a time there was a little dog who lived in a big house with a red door.";
  const complete = async (api: Served, key: typeof ALICE) => {
    const { usage } = await json(api.post("/v1/completions", { prompt, max_tokens: 2 }, key));
    return usage.prompt_tokens_details.cached_tokens;
  };
  {
    await using api = await served({ ...options, saveDir });
    const { id } = await begin(api, prompt);
    expect((await api.post(`/v1/sequences/${id}/save`, { name: "dog" }, ALICE)).status).toBe(200);
  }
  expect((await stat(join(saveDir, "cache-secret"))).mode & 0o777).toBe(0o600);
  // A second round is as the first.
  for (let round = 0; round < 2; round++) {
    await using api = await served({ ...options, saveDir });
    await api.post("/v1/sequences/restore", { name: "dog" }, ALICE);
    expect(await complete(api, BOB)).toBe(0);
    expect(await complete(api, ALICE)).toBeGreaterThanOrEqual(16);
  }
  // The salts are another secret's then, and so they find nothing that is not theirs.
  await using other = await served({ ...options, saveDir, cacheSecret: new Uint8Array(32) });
  await other.post("/v1/sequences/restore", { name: "dog" }, ALICE);
  expect(await complete(other, ALICE)).toBe(0);
});

test("are listed and deleted, each key's own", async () => {
  await using api = await served({ ...options, saveDir: join(folder, "listed") });
  const listed = async (key: typeof ALICE) =>
    (await (await api.get("/v1/saved-sequences", key.headers)).json()).data;
  expect(await listed(ALICE)).toEqual([]);
  const { id } = await begin(api, "Tom had a red ball");
  const sizes: Record<string, number> = {};
  for (const name of ["dog", "cat"]) {
    sizes[name] = (await json(api.post(`/v1/sequences/${id}/save`, { name }, ALICE))).bytes;
  }
  const entry = (name: string) => ({
    object: "saved_sequence",
    name,
    bytes: sizes[name],
    created: expect.closeTo(Date.now() / 1000, -2),
  });
  for (let round = 0; round < 2; round++) {
    expect(await listed(ALICE)).toEqual([entry("cat"), entry("dog")]);
    expect(await listed(BOB)).toEqual([]);
    const others = await api.delete("/v1/saved-sequences/cat", BOB.headers);
    expect(await errorOf(others)).toMatchObject({ status: 404, code: "saved_sequence_not_found" });
    expect((await api.delete("/v1/saved-sequences/cat", ALICE.headers)).status).toBe(204);
    expect(await listed(ALICE)).toEqual([entry("dog")]);
    for (const gone of ["cat", "..", "a%2Fb", "constructor"]) {
      const again = await api.delete(`/v1/saved-sequences/${gone}`, ALICE.headers);
      expect(again.status, gone).toBe(404);
    }
    const restored = await api.post("/v1/sequences/restore", { name: "cat" }, ALICE);
    expect(restored.status).toBe(404);
    await api.post(`/v1/sequences/${id}/save`, { name: "cat" }, ALICE);
  }
  await using none = await served({ apiKeys: options.apiKeys });
  for (const answer of [
    await none.get("/v1/saved-sequences", ALICE.headers),
    await none.delete("/v1/saved-sequences/cat", ALICE.headers),
  ]) {
    expect(await errorOf(answer)).toMatchObject({ status: 403, code: "saving_disabled" });
  }
});

test("a folder that cannot be used is said so at the start; when it fails later, the sequence goes on", async () => {
  const file = join(folder, "no-folder");
  await writeFile(file, "");
  await expect(served({ ...options, saveDir: file })).rejects.toMatchObject({
    code: "invalid_argument",
    message: expect.stringContaining(`Sequences cannot be saved in ${file}`),
  });
  const saveDir = join(folder, "vanishing");
  await using api = await served({ ...options, saveDir });
  const { id } = await begin(api, "Tom");
  await rm(saveDir, { recursive: true });
  await writeFile(saveDir, "");
  for (let round = 0; round < 2; round++) {
    const answer = await errorOf(await api.post(`/v1/sequences/${id}/save`, { name: "tom" }, ALICE));
    expect(answer).toMatchObject({ status: 507, code: "not_saved" });
  }
  expect((await api.post(`/v1/sequences/${id}/append`, { prompt: " had" }, ALICE)).status).toBe(200);
  await rm(saveDir);
  expect((await api.post(`/v1/sequences/${id}/save`, { name: "tom" }, ALICE)).status).toBe(200);
  await using none = await served({ apiKeys: options.apiKeys });
  const held = await begin(none, "Tom");
  const refused = await none.post(`/v1/sequences/${held.id}/save`, { name: "tom" }, ALICE);
  expect(await errorOf(refused)).toMatchObject({ status: 403, code: "saving_disabled" });
});
