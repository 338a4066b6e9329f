/** Records in a folder: a store like the others, of bounded size, in which nothing but records is touched, whatever lies there. */
import { execFileSync } from "node:child_process";
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { conformance, failureOf, newName, PATIENT } from "../../test/tier/store-conformance.js";
import { type DirectorySettings, openDirectoryStore } from "./directory-store.js";
import type { TierStore } from "./store.js";

let folder: string;
let opened: TierStore[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-tier-"));
  opened = [];
});
afterEach(async () => {
  for (const store of opened) await store.close();
  await rm(folder, { recursive: true, force: true });
});

async function open(settings: Partial<DirectorySettings> = {}): Promise<TierStore> {
  const store = await openDirectoryStore({
    folder,
    limitBytes: 100_000_000,
    ttlSeconds: 3600,
    longestRecord: 1_300_000,
    ...settings,
  });
  opened.push(store);
  return store;
}

const pathOf = (name: string, of = folder) => join(of, name.replaceAll(":", "."));

/** Makes a record look as if it had been used, and perhaps written, so many seconds ago. */
async function age(name: string, { used, written }: { used: number; written: number }): Promise<void> {
  await utimes(pathOf(name), Date.now() / 1000 - used, Date.now() / 1000 - written);
}

/** Sizes of all files. */
async function bytesThere(): Promise<number> {
  let sum = 0;
  for (const name of await readdir(folder)) sum += (await lstat(join(folder, name))).size;
  return sum;
}

conformance(() => open());

describe("files", () => {
  test("are there for the next process, for their owner only, and nothing else is left", async () => {
    const inner = join(folder, "a", "b");
    const store = await open({ folder: inner });
    const name = newName();
    await store.setIfAbsent(name, Buffer.from("record"));
    await store.close();
    expect((await stat(inner)).mode & 0o777).toBe(0o700);
    expect(await readdir(inner)).toEqual([name.replaceAll(":", ".")]);
    expect((await stat(pathOf(name, inner))).mode & 0o777).toBe(0o600);
    const next = await open({ folder: inner });
    expect(Buffer.from((await next.get(name, PATIENT))!).toString()).toBe("record");
  });

  test("are those of records: another name is refused", async () => {
    const store = await open();
    for (const name of ["../x", "lr1:a:b", "lr1:../../x:b:0", ""]) {
      await expect(store.get(name, PATIENT)).rejects.toThrow(RangeError);
      await expect(store.setIfAbsent(name, Buffer.alloc(1))).rejects.toThrow(RangeError);
    }
  });

  test("that are too old are not given, and written anew", async () => {
    const store = await open({ ttlSeconds: 100 });
    const name = newName();
    await store.setIfAbsent(name, Buffer.from("old"));
    await age(name, { used: 0, written: 90 });
    expect(await store.get(name, PATIENT)).not.toBeNull();
    await age(name, { used: 0, written: 110 });
    expect(await store.get(name, PATIENT)).toBeNull();
    expect(await store.setIfAbsent(name, Buffer.from("new"))).toBe(true);
    expect(Buffer.from((await store.get(name, PATIENT))!).toString()).toBe("new");
  });

  test("are kept for no longer because they are read", async () => {
    const store = await open({ ttlSeconds: 1000 });
    const name = newName();
    await store.setIfAbsent(name, Buffer.from("record"));
    await age(name, { used: 900, written: 900 });
    const before = await stat(pathOf(name));
    await store.get(name, PATIENT);
    const after = await stat(pathOf(name));
    expect(Math.round(after.mtimeMs - before.mtimeMs)).toBe(0);
    expect(after.atimeMs).toBeGreaterThan(before.atimeMs + 800_000);
  });

  test("that were cut off are replaced", async () => {
    const store = await open();
    const name = newName();
    await store.setIfAbsent(name, Buffer.from("record"));
    await truncate(pathOf(name), 3);
    expect(await store.get(name, PATIENT)).toHaveLength(3);
    expect(await store.setIfAbsent(name, Buffer.from("record"))).toBe(true);
    expect(await store.get(name, PATIENT)).toHaveLength(6);
  });

  test("may be gone, with their folder, and are written again", async () => {
    const store = await open();
    const name = newName();
    await store.setIfAbsent(name, Buffer.from("record"));
    await rm(folder, { recursive: true });
    expect(await store.get(name, PATIENT)).toBeNull();
    expect(await failureOf(store.ping(PATIENT))).toBe("unreachable");
    expect(await store.setIfAbsent(name, Buffer.from("record"))).toBe(true);
    await store.ping(PATIENT);
  });
});

describe("size", () => {
  const record = Buffer.alloc(1000);

  test("is never above the limit, and what was not used for the longest time goes first", async () => {
    const store = await open({ limitBytes: 10_500 });
    const names = Array.from({ length: 10 }, newName);
    for (const [i, name] of names.entries()) {
      await store.setIfAbsent(name, record);
      await age(name, { used: 600 * (20 - i), written: 600 });
    }
    // The first one is used again.
    await store.get(names[0], PATIENT);
    const last = newName();
    expect(await store.setIfAbsent(last, record)).toBe(true);
    expect(await bytesThere()).toBeLessThanOrEqual(10_500);
    const left = await Promise.all([...names, last].map((name) => store.get(name, PATIENT)));
    const gone = left.flatMap((found, i) => (found === null ? [i] : []));
    expect(gone).toEqual([1, 2]);
  });

  test("of what was used together, what was written last goes first: the end of a prefix", async () => {
    const store = await open({ limitBytes: 8500 });
    const names = Array.from({ length: 8 }, newName);
    for (const [i, name] of names.entries()) {
      await store.setIfAbsent(name, record);
      await age(name, { used: 3600, written: 3000 - i });
    }
    await store.setIfAbsent(newName(), record);
    const left = await Promise.all(names.map((name) => store.get(name, PATIENT)));
    expect(left.flatMap((found, i) => (found === null ? [i] : []))).toEqual([6, 7]);
  });

  test("of several processes together is a little above the limit at most", async () => {
    const stores = [await open({ limitBytes: 20_000 }), await open({ limitBytes: 20_000 })];
    for (let i = 0; i < 25; i++) {
      await Promise.all(stores.map((store) => store.setIfAbsent(newName(), record)));
      expect(await bytesThere()).toBeLessThanOrEqual(20_000 * (1 + 2 / 16) + 1000);
    }
  });

  test("a time that has not come yet keeps nothing for good", async () => {
    const store = await open({ limitBytes: 3500 });
    const [future, ...others] = Array.from({ length: 3 }, newName);
    await store.setIfAbsent(future, record);
    await age(future, { used: -1e9, written: -1e9 });
    for (const name of others) await store.setIfAbsent(name, record);
    await store.setIfAbsent(newName(), record);
    expect(await store.get(future, PATIENT)).toBeNull();
  });

  test("of a record that is more than the limit: full", async () => {
    const store = await open({ limitBytes: 999 });
    expect(await failureOf(store.setIfAbsent(newName(), record))).toBe("full");
    expect(await bytesThere()).toBe(0);
  });

  test("is looked at when it is opened: what is too old and what was never finished goes, all else stays", async () => {
    const names = [newName(), newName()];
    const first = await open();
    for (const name of names) await first.setIfAbsent(name, record);
    await age(names[0], { used: 0, written: 7200 });
    const unfinished = `.${crypto.randomUUID()}.tmp`;
    const young = `.${crypto.randomUUID()}.tmp`;
    const foreign = ["notes.txt", ".tmp", "lr1.x.tmp", `${names[0]}.bak`];
    for (const name of [unfinished, young, ...foreign]) await writeFile(join(folder, name), "x");
    for (const name of [unfinished, ...foreign]) await utimes(join(folder, name), 1, 1);
    await mkdir(join(folder, newName().replaceAll(":", ".")));
    const before = await readdir(folder);
    const store = await open();
    await store.setIfAbsent(newName(), record);
    const gone = before.filter(
      (
        (left) => (name: string) =>
          !left.includes(name)
      )(await readdir(folder)),
    );
    expect(gone.sort()).toEqual([unfinished, names[0].replaceAll(":", ".")].sort());
  });
});

describe("what others may have put there", () => {
  test("a link is no record, and what it leads to is neither read nor written nor removed", async () => {
    const store = await open({ limitBytes: 3000 });
    const target = join(folder, "target");
    await writeFile(target, "precious");
    const name = newName();
    await symlink(target, pathOf(name));
    expect(await store.get(name, PATIENT)).toBeNull();
    expect(await store.setIfAbsent(name, Buffer.from("record"))).toBe(true);
    expect(Buffer.from((await store.get(name, PATIENT))!).toString()).toBe("record");
    await symlink(target, pathOf(newName()));
    for (let i = 0; i < 5; i++) await store.setIfAbsent(newName(), Buffer.alloc(1000));
    expect(await readFile(target, "utf8")).toBe("precious");
  });

  test("a pipe or a folder is no record, and nothing waits for it", async () => {
    const store = await open();
    const [pipe, inner] = [newName(), newName()];
    execFileSync("mkfifo", [pathOf(pipe)]);
    await mkdir(pathOf(inner));
    for (const name of [pipe, inner]) {
      expect(await store.get(name, PATIENT)).toBeNull();
      expect(await store.setIfAbsent(name, Buffer.from("record"))).toBe(false);
    }
  });

  test("of a file without an end no more is read than of a record that is too long", async () => {
    const store = await open({ longestRecord: 100 });
    const name = newName();
    await writeFile(pathOf(name), "");
    await truncate(pathOf(name), 2 ** 40);
    expect(await store.get(name, PATIENT)).toHaveLength(101);
  });
});

test("a folder that anyone may write into, or that is none, is refused", async () => {
  await chmod(folder, 0o777);
  await expect(open()).rejects.toMatchObject({ code: "invalid_argument" });
  await chmod(folder, 0o770);
  await open();
  const file = join(folder, "file");
  await writeFile(file, "");
  for (const inner of [file, join(file, "below")])
    await expect(open({ folder: inner })).rejects.toMatchObject({ code: "invalid_argument" });
});
