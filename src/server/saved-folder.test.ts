/** What a key has saved: counted once, limited, changed one after the other, and not in the way of other keys. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Sequence } from "../client/sequence.js";
import type { Principal } from "./keys.js";
import { SavedFolder } from "./saved-folder.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-saved-folder-"));
});
afterEach(() => rm(folder, { recursive: true }));

const ALICE: Principal = { name: "alice", salt: "a" };
const BOB: Principal = { name: "bob", salt: "b" };
const LIMITS = { savedBytes: 100, savedSequences: 3 };
const open = (limits = LIMITS) => SavedFolder.open(join(folder, "saved"), limits);

/** A sequence whose file has so many bytes. @param save what it does when it is saved */
const sequenceOf = (bytes: number, save = (path: string) => writeFile(path, "x".repeat(bytes))) =>
  ({ savedBytes: async () => bytes, save }) as unknown as Sequence;
const limited = expect.objectContaining({ status: 429, code: "saved_limit" });
const sizes = async (saved: SavedFolder, principal: Principal) =>
  Object.fromEntries((await saved.list(principal)).map(({ name, bytes }) => [name, bytes]));

test("counts bytes and files of each key to the last one, as files come, are replaced and go", async () => {
  let saved = await open();
  // The second round begins with what is found in the folder.
  for (let round = 0; round < 2; round++) {
    await saved.save(ALICE, "a", sequenceOf(60));
    await saved.save(ALICE, "b", sequenceOf(40));
    await expect(saved.save(ALICE, "c", sequenceOf(1))).rejects.toEqual(limited);
    await expect(saved.save(ALICE, "b", sequenceOf(41))).rejects.toEqual(limited);
    await saved.save(BOB, "a", sequenceOf(100));
    await saved.save(ALICE, "a", sequenceOf(59));
    await saved.save(ALICE, "c", sequenceOf(1));
    await saved.remove(ALICE, "a");
    await saved.save(ALICE, "d", sequenceOf(59));
    await expect(saved.save(ALICE, "e", sequenceOf(0))).rejects.toEqual(limited);
    expect(await sizes(saved, ALICE)).toEqual({ b: 40, c: 1, d: 59 });
    saved = await open();
    expect(await sizes(saved, ALICE)).toEqual({ b: 40, c: 1, d: 59 });
    expect(await sizes(saved, BOB)).toEqual({ a: 100 });
    for (const { name } of await saved.list(ALICE)) await saved.remove(ALICE, name);
    expect(await sizes(saved, ALICE)).toEqual({});
  }
});

test("saves at once share what is left of a limit, and a failed one has taken nothing of it", async () => {
  const saved = await open();
  const failing = sequenceOf(90, () => Promise.reject(new Error("the disk is full")));
  const answers = await Promise.allSettled([
    saved.save(ALICE, "a", failing),
    saved.save(ALICE, "b", sequenceOf(60)),
    saved.save(ALICE, "c", sequenceOf(60)),
    saved.save(ALICE, "b", sequenceOf(70)),
    saved.save(ALICE, "c", sequenceOf(30)),
  ]);
  expect(
    answers.map((answer) => (answer.status === "fulfilled" ? answer.value : answer.reason.status)),
  ).toEqual([507, 60, 429, 70, 30]);
  expect(await sizes(saved, ALICE)).toEqual({ b: 70, c: 30 });
});

test("one key's saving does not wait for another's", async () => {
  const saved = await open();
  let finish!: () => void;
  const slow = saved.save(
    ALICE,
    "slow",
    sequenceOf(1, () => new Promise<void>((resolve) => (finish = resolve))),
  );
  expect(await saved.save(BOB, "b", sequenceOf(2))).toBe(2);
  await saved.remove(BOB, "b");
  // What the key has saved is told meanwhile; its own changes wait.
  expect(await saved.list(ALICE)).toEqual([]);
  let isBehind = false;
  const behind = saved.save(ALICE, "behind", sequenceOf(3)).then(() => (isBehind = true));
  await saved.save(BOB, "b", sequenceOf(2));
  expect(isBehind).toBe(false);
  finish();
  await Promise.all([slow, behind]);
});

test("looks at a key's files once", async () => {
  const saved = await open();
  await saved.save(ALICE, "a", sequenceOf(10));
  const own = join(saved.path(ALICE, "a"), "..");
  for (let i = 0; i < 5; i++) await writeFile(join(own, `by-hand-${i}.safetensors`), "x".repeat(50));
  await saved.save(ALICE, "b", sequenceOf(10));
  expect(await sizes(saved, ALICE)).toEqual({ a: 10, b: 10 });
  // One that was removed by hand is no more after it is deleted.
  await rm(saved.path(ALICE, "b"));
  await saved.remove(ALICE, "b");
  expect(await sizes(saved, ALICE)).toEqual({ a: 10 });
});

test("removes at the start what an interrupted server has left, and nothing else", async () => {
  const saved = await open();
  await saved.save(ALICE, "a", sequenceOf(10));
  const own = join(saved.path(ALICE, "a"), "..");
  const id = crypto.randomUUID();
  const others = ["notes.txt", ".hidden", `${id}.tmp`, `.a.safetensors.${id}.tmp.txt`];
  for (const name of [...others, `.a.safetensors.${id}.tmp`])
    await writeFile(join(own, name), "x".repeat(200));
  await mkdir(join(folder, "saved", "somebody-elses"));
  await writeFile(join(folder, "saved", "somebody-elses", `.a.safetensors.${id}.tmp`), "");
  await writeFile(join(folder, "saved", `cache-secret.${id}.tmp`), "");
  const again = await open();
  expect((await readdir(own)).sort()).toEqual(["a.safetensors", ...others].sort());
  expect(await readdir(join(folder, "saved", "somebody-elses"))).toHaveLength(1);
  expect((await readdir(join(folder, "saved"))).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  // What is not ours does not count.
  await again.save(ALICE, "b", sequenceOf(90));
});

test("keeps a secret for its owner only, and never replaces one", async () => {
  const path = join(folder, "saved", "cache-secret");
  const [first, second] = await Promise.all([open(), open()]);
  expect(second.secret).toEqual(first.secret);
  expect(first.secret).toHaveLength(32);
  expect((await open()).secret).toEqual(first.secret);
  expect((await open()).installationKey).toEqual(first.installationKey);
  expect([...first.installationKey]).not.toEqual([...first.secret]);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await truncate(path, 31);
  const short = await readFile(path);
  for (let round = 0; round < 2; round++) {
    await expect(open()).rejects.toMatchObject({
      code: "invalid_argument",
      message: `${path} is not a key of 32 bytes; remove it, and a new one is made.`,
    });
  }
  expect(await readFile(path)).toEqual(short);
  await rm(path);
  await writeFile(path, first.secret, { mode: 0o644 });
  await expect(open()).rejects.toThrow(`${path} may be read or written by others`);
});
