/** Whatever is removed, and whenever that is interrupted, Python's tools find the rest of the cache sound. */
import { existsSync } from "node:fs";
import {
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, test, vi } from "vitest";
import { planRemoval, remove } from "./cache-removal.js";
import { cachedRepo, cachedRepos } from "./cached-repos.js";

/** Changes of the disk that may still be made; then it refuses. */
let changesLeft = Number.POSITIVE_INFINITY;
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  const counted =
    <T extends readonly unknown[], R>(work: (...args: T) => Promise<R>) =>
    (...args: T) => {
      if (changesLeft <= 0) throw Object.assign(new Error("the disk refuses"), { code: "EIO", syscall: "x" });
      changesLeft -= 1;
      return work(...args);
    };
  return { ...real, rm: counted(real.rm), rename: counted(real.rename), rmdir: counted(real.rmdir) };
});

let cache: string;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "lastrow-removal-"));
});
afterEach(async () => {
  changesLeft = Number.POSITIVE_INFINITY;
  await rm(cache, { recursive: true });
});

const commitOf = (digit: string) => digit.repeat(40);

interface Revision {
  readonly refs?: readonly string[];
  /** Names of blobs by the paths of files. */
  readonly files: Readonly<Record<string, string>>;
}

/** Lays a repository out as Python does. @param blobs their sizes */
async function layOut(
  repo: string,
  blobs: Readonly<Record<string, number>>,
  revisions: Readonly<Record<string, Revision>>,
): Promise<string> {
  const folder = join(cache, `models--${repo.replace("/", "--")}`);
  await mkdir(join(folder, "blobs"), { recursive: true });
  for (const [name, size] of Object.entries(blobs))
    await writeFile(join(folder, "blobs", name), "x".repeat(size));
  for (const [digit, { refs = [], files }] of Object.entries(revisions)) {
    const commit = commitOf(digit);
    const snapshot = join(folder, "snapshots", commit);
    await mkdir(snapshot, { recursive: true });
    for (const [path, blob] of Object.entries(files)) {
      const full = join(snapshot, path);
      await mkdir(dirname(full), { recursive: true });
      await symlink(relative(dirname(full), join(folder, "blobs", blob)), full);
    }
    for (const ref of refs) {
      await mkdir(dirname(join(folder, "refs", ref)), { recursive: true });
      await writeFile(join(folder, "refs", ref), commit);
    }
    await mkdir(join(folder, ".no_exist", commit), { recursive: true });
    await writeFile(join(folder, ".no_exist", commit, "merges.txt"), "");
  }
  return folder;
}

/** What Python's scan would call corrupted, in its own way of looking. */
async function unsound(folder: string): Promise<string[]> {
  const wrong: string[] = [];
  const list = (path: string) => readdir(path, { recursive: true }).catch(() => [] as string[]);
  const commits = await readdir(join(folder, "snapshots")).catch(() => [] as string[]);
  for (const ref of await list(join(folder, "refs"))) {
    const path = join(folder, "refs", ref);
    if ((await lstat(path)).isDirectory()) continue;
    if (!commits.includes(await readFile(path, "utf8"))) wrong.push(`the ref ${ref} leads nowhere`);
  }
  for (const commit of commits) {
    for (const path of await list(join(folder, "snapshots", commit))) {
      const full = join(folder, "snapshots", commit, path);
      if ((await lstat(full)).isSymbolicLink() && !existsSync(full))
        wrong.push(`${path} of ${commit} leads nowhere`);
    }
  }
  return wrong;
}

const plan = async (name: string) => planRemoval(await cachedRepos(cache), name);
const removeNamed = async (name: string) => remove(await plan(name));
const blobsOf = async (folder: string) => (await readdir(join(folder, "blobs"))).sort();

describe("what is found", () => {
  it("is each model with what it takes once, its revisions, what is missing, and nothing else", async () => {
    const folder = await layOut(
      "org/model",
      { one: 10, two: 200, other: 3000, "x.incomplete": 7 },
      {
        a: { refs: ["main", "refs/pr/1"], files: { "config.json": "one", "model.safetensors": "two" } },
        b: { files: { "config.json": "one", "sub/model.safetensors": "gone" } },
      },
    );
    await layOut("gpt2", { one: 5 }, { c: { refs: ["main"], files: { "config.json": "one" } } });
    await writeFile(join(folder, "refs", "lost"), commitOf("e"));
    await utimes(join(folder, "blobs", "x.incomplete"), 1, 1);
    for (const other of ["datasets--org--data", ".locks", "blobs"]) await mkdir(join(cache, other));
    await writeFile(join(cache, "models--a-file"), "");
    const [broken, gpt2, model] = await cachedRepos(cache);
    expect(broken).toMatchObject({ name: "a-file", problem: "ENOTDIR", bytes: 0, revisions: [] });
    expect(gpt2).toMatchObject({ name: "gpt2", bytes: 5, problem: null, lostRefs: [] });
    expect(model).toMatchObject({
      ...{ name: "org/model", bytes: 3217, unfinishedBytes: 7, isDownloading: false, lostRefs: ["lost"] },
      revisions: [
        { commit: commitOf("a"), refs: ["main", "refs/pr/1"], bytes: 210 },
        {
          ...{ commit: commitOf("b"), refs: [], bytes: 10 },
          files: [
            { path: "config.json", bytes: 10, blob: "one" },
            { path: "sub/model.safetensors", bytes: null, blob: "gone" },
          ],
        },
      ],
    });
    expect(Date.now() - model.lastUsed!.getTime()).toBeLessThan(60_000);
    expect(await cachedRepos(join(cache, "none"))).toEqual([]);
  });
});

describe("removing", () => {
  it("a revision takes its refs and what only it needs, and says before how much that is", async () => {
    const folder = await layOut(
      "org/model",
      { both: 10, old: 200, new: 3000, stray: 1 },
      {
        a: { refs: ["v1", "refs/pr/1"], files: { "config.json": "both", "model.safetensors": "old" } },
        b: { refs: ["main"], files: { "config.json": "both", "model.safetensors": "new" } },
      },
    );
    const removal = await plan("org/model@v1");
    expect([removal.isWhole, removal.bytes, removal.sharedBytes]).toEqual([false, 200, 0]);
    await remove(removal);
    // What nothing led to before may be of a download under way.
    expect(await blobsOf(folder)).toEqual(["both", "new", "stray"]);
    expect(await readdir(join(folder, "refs"))).toEqual(["main"]);
    expect(await readdir(join(folder, "snapshots"))).toEqual([commitOf("b")]);
    expect(await readdir(join(folder, ".no_exist"))).toEqual([commitOf("b")]);
    expect(await readdir(join(folder, ".lastrow"))).toEqual([]);
    expect(await unsound(folder)).toEqual([]);
  });

  it("the last revision, or a model by its name, takes everything, and nothing of another", async () => {
    const files = { "config.json": "one" };
    const first = await layOut("org/model", { one: 1 }, { a: { refs: ["main"], files } });
    const second = await layOut("org/model2", { one: 1 }, { a: { refs: ["main"], files }, b: { files } });
    await removeNamed(`org/model@${commitOf("a").slice(0, 7)}`);
    expect(existsSync(first)).toBe(false);
    await removeNamed("org/model2");
    expect(await readdir(cache)).toEqual([]);
    expect(existsSync(second)).toBe(false);
  });

  it("a GGUF file leaves the others, and takes the revision where it was the last", async () => {
    const folder = await layOut(
      "org/m-GGUF",
      { readme: 1, q8: 10, q4: 200 },
      {
        a: { refs: ["main"], files: { "README.md": "readme", "m-Q8_0.gguf": "q8", "m-Q4_K_M.gguf": "q4" } },
      },
    );
    expect(await plan("org/m-GGUF:Q4_K_M")).toMatchObject({ isWhole: false, bytes: 200 });
    await removeNamed("org/m-GGUF:Q4_K_M");
    expect(await blobsOf(folder)).toEqual(["q8", "readme"]);
    expect(await readdir(join(folder, "snapshots", commitOf("a")))).toEqual(["README.md", "m-Q8_0.gguf"]);
    await expect(plan("org/m-GGUF:Q4_K_M")).rejects.toThrow(/is not downloaded/);
    expect(await plan("org/m-GGUF/m-Q8_0.gguf")).toMatchObject({ isWhole: true });
    await removeNamed("org/m-GGUF/m-Q8_0.gguf@main");
    expect(existsSync(folder)).toBe(false);
  });

  it("needs a name of what is there", async () => {
    await layOut("org/model", { one: 1 }, { a: { refs: ["main"], files: { "config.json": "one" } } });
    for (const [name, words] of [
      ["org/other", /^org\/other is not downloaded; lastrow models lists what is/],
      ["org/model@v2", /^org\/model has no revision v2 here; it has main/],
      ["org/model@aaa", /has no revision aaa/],
      ["../model", /is not a Hub name/],
      ["", /is not a Hub name/],
    ] as const) {
      await expect(plan(name), name).rejects.toThrow(words);
    }
  });

  it.each([
    ["x.incomplete", 0, true],
    ["x.incomplete", 3600, false],
    ["x.lastrow.incomplete", 0, false],
    [`x.00000000-1-abcd.lastrow.incomplete`, 0, true],
    [`x.00000000-1-abcd.lastrow.incomplete`, 3600, false],
  ])("waits for a download that is under way: %s of %i s ago: %o", async (name, age, isUnderWay) => {
    const folder = await layOut("org/model", { [name]: 5 }, {});
    const then = Date.now() / 1000 - age;
    await utimes(join(folder, "blobs", name), then, then);
    if (isUnderWay) await expect(plan("org/model")).rejects.toThrow(/is being downloaded just now/);
    else await removeNamed("org/model");
    expect(existsSync(folder)).toBe(isUnderWay);
  });

  it("goes nowhere that a link leads to", async () => {
    const outside = await mkdtemp(join(tmpdir(), "lastrow-outside-"));
    try {
      await writeFile(join(outside, "precious"), "1");
      const folder = await layOut(
        "org/model",
        { one: 1 },
        {
          a: { refs: ["main"], files: { "config.json": "one" } },
          b: { files: { "config.json": "one" } },
        },
      );
      const snapshot = join(folder, "snapshots", commitOf("a"));
      await symlink(outside, join(snapshot, "folder"));
      await symlink(join(outside, "precious"), join(snapshot, "file"));
      await symlink("../../../../../blobs/one", join(snapshot, "up"));
      await removeNamed("org/model@main");
      expect(await blobsOf(folder)).toEqual(["one"]);
      await removeNamed("org/model");
      await symlink(outside, join(cache, "models--org--linked"));
      await expect(removeNamed("org/linked")).rejects.toThrow(
        /is a link to another place; remove it by hand/,
      );
      expect(await readdir(outside)).toEqual(["precious"]);
    } finally {
      await rm(outside, { recursive: true });
    }
  });

  it("knows blobs that are hard links, and those that lie in the store of Python's tools", async () => {
    const folder = await layOut(
      "org/model",
      { hard: 10, kept: 1 },
      {
        a: { refs: ["main"], files: { kept: "kept" } },
        b: { files: { kept: "kept" } },
      },
    );
    const snapshot = join(folder, "snapshots", commitOf("a"));
    await link(join(folder, "blobs", "hard"), join(snapshot, "model.safetensors"));
    await mkdir(join(cache, "blobs", "ab"), { recursive: true });
    const shared = join(cache, "blobs", "ab", "abcd");
    await writeFile(shared, "x".repeat(100));
    await symlink(relative(join(folder, "blobs"), shared), join(folder, "blobs", "link"));
    await symlink("../../blobs/link", join(snapshot, "other.safetensors"));
    const removal = await plan("org/model@main");
    expect([removal.bytes, removal.sharedBytes]).toEqual([110, 100]);
    await remove(removal);
    expect(await blobsOf(folder)).toEqual(["kept"]);
    expect(existsSync(shared)).toBe(true);
  });
});

const BLOBS = ["p", "q", "r", "s", "t"];
const revision = fc.record({
  refs: fc.uniqueArray(fc.constantFrom("main", "v1", "refs/pr/1", "refs/pr/2"), { maxLength: 2 }),
  files: fc.dictionary(fc.constantFrom("a", "b", "sub/c", "sub/deep/d"), fc.constantFrom(...BLOBS)),
});

test("any revision, interrupted anywhere: no ref and no file leads nowhere, the others are as they were, and again it ends", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(revision, { minLength: 2, maxLength: 4 }),
      fc.nat(3),
      fc.integer({ min: 0, max: 12 }),
      async (list, which, changes) => {
        const taken = new Set<string>();
        const revisions = list.map(({ refs, files }, i) => {
          const own = refs.filter((ref) => !taken.has(ref));
          for (const ref of own) taken.add(ref);
          return [String(i + 1), { refs: own, files }] as const;
        });
        const sizes = Object.fromEntries(BLOBS.map((name, i) => [name, 10 ** i]));
        const folder = await layOut("org/model", sizes, Object.fromEntries(revisions));
        const removed = commitOf(String((which % list.length) + 1));
        const before = await cachedRepo(folder);
        const name = `org/model@${removed}`;
        const { bytes } = planRemoval([before], name);
        changesLeft = changes;
        const isDone = await removeNamed(name).then(
          () => true,
          () => false,
        );
        changesLeft = Number.POSITIVE_INFINITY;
        expect(await unsound(folder)).toEqual([]);
        const others = (repo: typeof before) => repo.revisions.filter(({ commit }) => commit !== removed);
        const after = await cachedRepo(folder);
        expect(others(after)).toEqual(others(before));
        if (isDone) expect(before.bytes - after.bytes).toBe(bytes);
        else if (after.revisions.length === before.revisions.length) await removeNamed(name);
        expect((await cachedRepo(folder)).revisions).toEqual(others(before));
        await rm(folder, { recursive: true });
      },
    ),
    { numRuns: 15 },
  );
});
