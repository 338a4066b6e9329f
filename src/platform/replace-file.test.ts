/** A file that is written appears whole or not at all: failing operations, full disks, power cuts at every one of them. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { keyIn } from "./installation-key.js";
import { type FileSystem, nodeFiles, replaceFile } from "./replace-file.js";

const PIECES = ["one ", "two ", "three"];
const NEW = PIECES.join("");

async function* pieces(): AsyncGenerator<Uint8Array> {
  for (const piece of PIECES) yield new TextEncoder().encode(piece);
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-replace-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Node's file system, in which the operation number `fails` throws. */
function failing(fails: number): { files: FileSystem; count: () => number } {
  let operations = 0;
  const step = async <T>(operation: () => Promise<T>) => {
    operations += 1;
    if (operations === fails) throw new Error("no space left on device");
    return operation();
  };
  const files: FileSystem = {
    kindOf: (path) => step(() => nodeFiles.kindOf(path)),
    create: (path) =>
      step(async () => {
        const file = await nodeFiles.create(path);
        return {
          write: (bytes) => step(() => file.write(bytes)),
          sync: () => step(() => file.sync()),
          // What cannot be closed is closed all the same.
          close: async () => {
            await file.close();
            await step(async () => undefined);
          },
        };
      }),
    rename: (from, to) => step(() => nodeFiles.rename(from, to)),
    remove: (path) => nodeFiles.remove(path),
    syncFolder: (path) => step(() => nodeFiles.syncFolder(path)),
  };
  return { files, count: () => operations };
}

test.each([null, "the old contents"])("every operation fails once, before: %s", async (old) => {
  const path = join(folder, "a");
  const { files, count } = failing(0);
  await replaceFile(path, pieces(), files);
  expect(await readFile(path, "utf8")).toBe(NEW);
  const numOperations = count();
  expect(numOperations).toBe(9);
  for (let fails = 1; fails <= numOperations; fails++) {
    await rm(path);
    if (old !== null) await writeFile(path, old);
    await expect(replaceFile(path, pieces(), failing(fails).files)).rejects.toMatchObject({
      code: "file_not_written",
    });
    // Only the last operation, flushing the folder, comes after the name was taken.
    const expected = fails === numOperations ? NEW : old;
    expect(await readFile(path, "utf8").catch(() => null)).toBe(expected);
    expect(await readdir(folder)).toEqual(expected === null ? [] : ["a"]);
    await writeFile(path, "");
  }
});

test("an error of what is written", async () => {
  const path = join(folder, "a");
  await writeFile(path, "old");
  const broken = async function* () {
    yield new Uint8Array(3);
    throw new Error("lost");
  };
  await expect(replaceFile(path, broken())).rejects.toThrow("lost");
  expect(await readdir(folder)).toEqual(["a"]);
  expect(await readFile(path, "utf8")).toBe("old");
});

test("links and folders are refused; what a link leads to stays", async () => {
  const target = join(folder, "target");
  await writeFile(target, "old");
  const link = join(folder, "link");
  await symlink(target, link);
  await mkdir(join(folder, "sub"));
  for (const path of [link, join(folder, "sub"), join(folder, "missing", "a")]) {
    await expect(replaceFile(path, pieces())).rejects.toMatchObject({ code: "file_not_written" });
  }
  await rm(target);
  // A link that leads nowhere is one, too.
  await expect(replaceFile(link, pieces())).rejects.toMatchObject({ code: "file_not_written" });
  expect((await readdir(folder)).sort()).toEqual(["link", "sub"]);
});

test("what is no file is not replaced by one", async () => {
  const path = join(folder, "socket");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    await expect(replaceFile(path, pieces())).rejects.toMatchObject({
      code: "file_not_written",
      message: `${path} was not written: it is not a regular file.`,
    });
    expect((await stat(path)).isSocket()).toBe(true);
  } finally {
    server.close();
  }
});

test("a file system that cannot say what is there, or cannot flush, is not taken to have done so", async () => {
  await writeFile(join(folder, "file"), "");
  await expect(nodeFiles.kindOf(join(folder, "file", "a"))).rejects.toMatchObject({ code: "ENOTDIR" });
  expect(await nodeFiles.kindOf(join(folder, "missing"))).toBeNull();
  await expect(nodeFiles.syncFolder(join(folder, "missing"))).rejects.toMatchObject({ code: "ENOENT" });
});

test("a new file is never one that was there", async () => {
  const path = join(folder, "a");
  await writeFile(path, "old");
  await expect(nodeFiles.create(path)).rejects.toMatchObject({ code: "EEXIST" });
  expect(await readFile(path, "utf8")).toBe("old");
});

test("only its owner can read it", async () => {
  await replaceFile(join(folder, "a"), pieces());
  expect((await stat(join(folder, "a"))).mode & 0o777).toBe(0o600);
});

/**
 * A disk with a memory in front of it. A flush of a file takes its contents to the disk, a flush of a folder its names.
 * When the power fails, whatever was not flushed may be there or not, in any combination.
 */
class Disk implements FileSystem {
  /** Names and what they stand for. */
  names = new Map<string, { contents: string; flushed: string }>();
  /** Lists of names that the disk may have after a cut: the flushed one, and one after each later change. */
  lists = [new Map(this.names)];
  #left: number;

  constructor(operationsUntilCut: number, old: string | null) {
    this.#left = operationsUntilCut;
    if (old !== null) this.names.set("folder/a", { contents: old, flushed: old });
    this.lists = [new Map(this.names)];
  }

  /** Every state that the disk may be in now: what `a` stands for. */
  *afterCut(): Generator<string | null> {
    for (const list of this.lists) {
      const file = list.get("folder/a");
      if (file === undefined) yield null;
      else {
        yield file.flushed;
        for (let length = file.flushed.length; length <= file.contents.length; length++) {
          // What was written since may be there in part, or be garbage.
          yield file.contents.slice(0, length);
          if (length > file.flushed.length) yield file.flushed + "\0".repeat(length - file.flushed.length);
        }
      }
    }
  }

  async kindOf(path: string) {
    return this.names.has(path) ? ("file" as const) : null;
  }

  async create(path: string) {
    await this.#step();
    const file = { contents: "", flushed: "" };
    this.#changeNames(() => this.names.set(path, file));
    return {
      write: async (bytes: Uint8Array) => {
        // The power may fail in the middle.
        for (const byte of bytes) {
          await this.#step();
          file.contents += String.fromCharCode(byte);
        }
      },
      sync: async () => {
        await this.#step();
        file.flushed = file.contents;
      },
      close: () => this.#step(),
    };
  }

  async rename(from: string, to: string) {
    await this.#step();
    const file = this.names.get(from);
    if (file === undefined) throw new Error("no such file");
    this.#changeNames(() => {
      this.names.delete(from);
      this.names.set(to, file);
    });
  }

  async remove() {
    // Nothing runs after a power cut.
    throw new Error("no power");
  }

  async syncFolder() {
    await this.#step();
    this.lists = [new Map(this.names)];
  }

  #changeNames(change: () => void): void {
    change();
    this.lists.push(new Map(this.names));
  }

  async #step(): Promise<void> {
    if (this.#left === 0) throw new Error("power cut");
    this.#left -= 1;
  }
}

describe.each([null, "old"])("a power cut at every operation, before: %s", (old) => {
  test("the name stands for the old contents or the new ones, whole", async () => {
    let sawOld = false;
    let sawNew = false;
    for (let operations = 0; ; operations++) {
      const disk = new Disk(operations, old);
      const isDone = await replaceFile("folder/a", pieces(), disk).then(
        () => true,
        () => false,
      );
      for (const contents of disk.afterCut()) {
        expect([old, NEW]).toContain(contents);
        sawOld ||= contents === old;
        sawNew ||= contents === NEW;
        // Once it says that it is written, it is.
        if (isDone) expect(contents).toBe(NEW);
      }
      if (isDone) break;
    }
    expect([sawOld, sawNew]).toEqual([true, true]);
  });
});

describe("the installation's key", () => {
  test("is made once, private, and the same for all who ask at once", async () => {
    const keys = await Promise.all(Array.from({ length: 8 }, () => keyIn(join(folder, "data"))));
    expect(new Set(keys.map((key) => Buffer.from(key ?? []).toString("hex"))).size).toBe(1);
    expect(keys[0]?.length).toBe(32);
    expect(await keyIn(join(folder, "data"))).toEqual(keys[0]);
    expect(await readdir(join(folder, "data"))).toEqual(["installation-key"]);
    expect((await stat(join(folder, "data", "installation-key"))).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, "data"))).mode & 0o777).toBe(0o700);
    expect((await keyIn(join(folder, "other")))?.every((byte, i) => byte === keys[0]?.[i])).toBe(false);
  });

  test("is refused when others can read it, or when it is none", async () => {
    const path = join(folder, "installation-key");
    await keyIn(folder);
    await chmod(path, 0o644);
    await expect(keyIn(folder)).rejects.toMatchObject({ code: "invalid_argument" });
    for (const length of [0, 31, 33]) {
      await rm(path);
      await writeFile(path, new Uint8Array(length), { mode: 0o600 });
      await expect(keyIn(folder)).rejects.toThrow(`${path} is not a key of 32 bytes`);
    }
  });

  test("is not looked for behind a link", async () => {
    await keyIn(join(folder, "other"));
    await mkdir(join(folder, "data"));
    await symlink(join(folder, "other", "installation-key"), join(folder, "data", "installation-key"));
    expect(await keyIn(join(folder, "data"))).toBeNull();
  });

  test("is none where none can be kept", async () => {
    await writeFile(join(folder, "file"), "");
    expect(await keyIn(join(folder, "file"))).toBeNull();
  });
});
