/** Keys and passwords in files: taken whole, from files that are the operator's alone, and from nothing else. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readTierKey } from "./tier-key.js";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-tier-key-"));
  path = join(folder, "tier.key");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function refusal(of = path): Promise<string> {
  return readTierKey(of).then(
    () => "nothing",
    (error) => (error.code === "invalid_argument" ? error.message : `no refusal: ${error}`),
  );
}

test.each([32, 64, 4096])("a key of %i bytes is taken as it is", async (length) => {
  const key = randomBytes(length);
  await writeFile(path, key, { mode: 0o600 });
  expect(Buffer.compare(await readTierKey(path), key)).toBe(0);
});

test.each([0, 31, 4097])("%i bytes are no key", async (length) => {
  await writeFile(path, randomBytes(length), { mode: 0o600 });
  expect(await refusal()).toMatch(`has ${length} bytes`);
});

test("a file without an end is not read", async () => {
  await writeFile(path, "", { mode: 0o600 });
  await truncate(path, 2 ** 40);
  expect(await refusal()).toMatch("bytes");
});

test.each([0o604, 0o640, 0o620, 0o602, 0o644, 0o777])(
  "a file that others may read or write is not taken: mode %o",
  async (mode) => {
    await writeFile(path, randomBytes(32));
    await chmod(path, mode);
    expect(await refusal()).toMatch("chmod 600");
  },
);

test("a link, a pipe, a folder and nothing are no key, and nothing waits for them", async () => {
  await writeFile(join(folder, "other"), randomBytes(32), { mode: 0o600 });
  await symlink("other", path);
  expect(await refusal()).toMatch("symbolic link");
  execFileSync("mkfifo", ["-m", "600", join(folder, "pipe")]);
  expect(await refusal(join(folder, "pipe"))).toMatch("not a regular file");
  await mkdir(join(folder, "folder"));
  expect(await refusal(join(folder, "folder"))).toMatch("not a regular file");
  expect(await refusal(join(folder, "nothing"))).toMatch("no such file");
});
