/** The tier's store in a folder on a disk that is full, which takes a file system of its own. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openDirectoryStore } from "../../src/tier/directory-store.js";
import { failureOf, newName, PATIENT } from "../tier/store-conformance.js";

test("on a disk that others have filled it says that it is full, gives way, and is read", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lastrow-full-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=400k,mode=700", "tmpfs", folder], { stdio: "pipe" });
  } catch (error) {
    rmdirSync(folder);
    if (
      process.platform === "linux" &&
      process.getuid?.() === 0 &&
      !/not permitted|denied/.test(String(error))
    )
      throw error;
    process.stderr.write(`SKIPPED: this machine mounts no file system (${String(error).trim()})\n`);
    return;
  }
  try {
    const store = await openDirectoryStore({
      folder,
      limitBytes: 1e9,
      ttlSeconds: 60,
      longestRecord: 50_000,
    });
    const names = Array.from({ length: 4 }, newName);
    for (const name of names) expect(await store.setIfAbsent(name, Buffer.alloc(40_000))).toBe(true);
    expect(() => writeFileSync(join(folder, "others"), Buffer.alloc(400_000))).toThrow("ENOSPC");
    expect(await failureOf(store.setIfAbsent(newName(), Buffer.alloc(40_000)))).toBe("full");
    const left = await Promise.all(names.map((name) => store.get(name, PATIENT)));
    expect(left.filter((record) => record !== null).length).toBe(3);
    // It is not full for good: the next one has the room that was made.
    expect(await store.setIfAbsent(newName(), Buffer.alloc(40_000))).toBe(true);
    await store.close();
  } finally {
    execFileSync("umount", [folder]);
    rmdirSync(folder);
  }
});
