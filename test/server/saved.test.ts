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
const begin = (api: Served, prompt: string) =>
  json(api.post("/v1/sequences", { prompt, top_logprobs: 3 }, ALICE));

test("a saved sequence comes back in another server, to its owner alone", async () => {
  let before: { id: string; tokens: number[]; top_logprobs: unknown };
  {
    await using api = await served(options);
    before = await begin(api, "Once upon a time there was a little dog who lived in a big house.");
    const saved = await json(api.post(`/v1/sequences/${before.id}/save`, { name: "dog" }, ALICE));
    expect(saved).toMatchObject({ id: before.id, name: "dog" });
    const [own] = await readdir(options.saveDir);
    expect((await stat(join(options.saveDir, own, "dog.safetensors"))).size).toBe(saved.bytes);
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
  for (const own of await readdir(options.saveDir)) {
    await truncate(join(options.saveDir, own, "ball.safetensors"), 1000);
  }
  const damaged = await errorOf(await api.post("/v1/sequences/restore", { name: "ball" }, ALICE));
  expect(damaged).toMatchObject({ status: 400, code: "saved_sequence_invalid" });
  await using small = await served({ ...options, limits: { savedBytes: 1000 } });
  const big = await begin(small, "Tom had a red ball");
  const over = await small.post(`/v1/sequences/${big.id}/save`, { name: "more" }, ALICE);
  expect(await errorOf(over)).toMatchObject({ status: 429, code: "saved_limit" });
});

test("a folder that cannot be written to is said so, and the sequence goes on", async () => {
  const file = join(folder, "no-folder");
  await writeFile(file, "");
  await using api = await served({ ...options, saveDir: file });
  const { id } = await begin(api, "Tom");
  const answer = await errorOf(await api.post(`/v1/sequences/${id}/save`, { name: "tom" }, ALICE));
  expect(answer).toMatchObject({ status: 507, code: "not_saved" });
  expect((await api.post(`/v1/sequences/${id}/append`, { prompt: " had" }, ALICE)).status).toBe(200);
  await using none = await served({ apiKeys: options.apiKeys });
  const held = await begin(none, "Tom");
  const refused = await none.post(`/v1/sequences/${held.id}/save`, { name: "tom" }, ALICE);
  expect(await errorOf(refused)).toMatchObject({ status: 403, code: "saving_disabled" });
});
