import {
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { HubCache, type Linking } from "./hub-cache.js";
import type { HubFile } from "./hub-listing.js";

const COMMIT = "d".repeat(40);
const file: HubFile = { path: "config.json", size: 4, digest: "e".repeat(40), digestKind: "git-sha1" };
const refused = () => Promise.reject(Object.assign(new Error("not permitted"), { code: "EPERM" }));

let folder: string;
let cache: HubCache;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-cache-"));
  cache = new HubCache(folder, "org/model");
  await mkdir(cache.blobsFolder, { recursive: true });
  await writeFile(cache.blobPath(file), "{12}");
});
afterEach(() => rm(folder, { recursive: true }));

const path = () => join(cache.snapshotFolder(COMMIT), file.path);

it.each<[string, Linking, { isSymbolicLink: boolean; isSameFile: boolean }]>([
  ["a symbolic link", { symlink, link }, { isSymbolicLink: true, isSameFile: true }],
  ["a hard link", { symlink: refused, link }, { isSymbolicLink: false, isSameFile: true }],
  ["a copy", { symlink: refused, link: refused }, { isSymbolicLink: false, isSameFile: false }],
])("puts a blob into a snapshot as %s", async (_, linking, expected) => {
  await cache.addToSnapshot(COMMIT, file, linking);
  await cache.addToSnapshot(COMMIT, file, linking);
  expect(await readFile(path(), "utf8")).toBe("{12}");
  const [entry, target, blob] = [await lstat(path()), await stat(path()), await stat(cache.blobPath(file))];
  expect(entry.isSymbolicLink()).toBe(expected.isSymbolicLink);
  expect(target.ino === blob.ino).toBe(expected.isSameFile);
  expect(await readdir(cache.blobsFolder)).toEqual([file.digest]);
  expect(await cache.hasFile(COMMIT, file)).toBe(true);
});

it("replaces a link that leads nowhere", async () => {
  await mkdir(cache.snapshotFolder(COMMIT), { recursive: true });
  await symlink("../../blobs/gone", path());
  expect(await cache.hasFile(COMMIT, file)).toBe(false);
  await cache.addToSnapshot(COMMIT, file);
  expect(await readFile(path(), "utf8")).toBe("{12}");
});

it("does not take a file of another size for the one that the Hub has", async () => {
  await cache.addToSnapshot(COMMIT, file);
  const longer = { ...file, size: 5 };
  expect(await cache.hasFile(COMMIT, longer)).toBe(false);
  expect(await cache.hasBlob(longer)).toBe(false);
  expect(await cache.hasBlob(file)).toBe(true);
});

it("finds nothing where there is nothing", async () => {
  expect(await cache.commitOf("main")).toBeNull();
  expect(await cache.find(COMMIT)).toBeNull();
  await cache.writeRef("main", COMMIT);
  expect(await cache.commitOf("main")).toBe(COMMIT);
  expect(await cache.find(COMMIT)).toBeNull();
  expect(await cache.cachedGguf(COMMIT)).toEqual([]);
});

it("knows a snapshot that lacks its config, its weights, or a shard for unusable", async () => {
  await cache.addToSnapshot(COMMIT, file);
  expect(await cache.find(COMMIT)).toMatchObject({ isUsable: false, isComplete: false });
  const index = join(cache.snapshotFolder(COMMIT), "model.safetensors.index.json");
  await writeFile(index, '{"weight_map": {"a": "one.safetensors"}}');
  expect(await cache.find(COMMIT)).toMatchObject({ isUsable: false, isComplete: false });
  await writeFile(join(cache.snapshotFolder(COMMIT), "one.safetensors"), "");
  expect(await cache.find(COMMIT)).toMatchObject({ isUsable: true, isComplete: false });
  await rm(path());
  expect(await cache.find(COMMIT)).toMatchObject({ isUsable: false, isComplete: false });
});
