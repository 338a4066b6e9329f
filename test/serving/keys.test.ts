/** Keys that change while a server runs. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { soon } from "../soon.js";
import { endAll, start } from "./serve-process.js";

afterEach(endAll);

test("SIGHUP reads the file of keys again; one that is broken changes nothing, and the log says so", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lastrow-keys-"));
  try {
    const file = join(folder, "keys.txt");
    const [first, second] = ["sk-first-0123456789", "sk-second-0123456789"];
    await writeFile(file, `alice ${first}\n`);
    const { child, url, log } = await start("--api-keys", file);
    const status = async (key: string) =>
      (await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status;
    const statuses = async () => [await status(first), await status(second)];
    const said = (what: RegExp) => soon(() => expect(log.join("\n")).toMatch(what));
    expect(await statuses()).toEqual([200, 401]);
    await writeFile(file, `alice ${second}\n`);
    // Not before it is told to.
    expect(await statuses()).toEqual([200, 401]);
    child.kill("SIGHUP");
    await said(/Keys read again: 1/);
    expect(await statuses()).toEqual([401, 200]);
    for (const [broken, why] of [
      [`alice ${first}\nbob short\n`, /stay as they were.*line 2.*shorter than 16/],
      ["", /stay as they were.*has no key/],
    ] as const) {
      await writeFile(file, broken);
      child.kill("SIGHUP");
      await said(why);
      expect(await statuses()).toEqual([401, 200]);
    }
    await rm(file);
    child.kill("SIGHUP");
    await said(/stay as they were.*cannot be read/);
    expect(await statuses()).toEqual([401, 200]);
    expect(log.join("\n")).not.toMatch(/sk-first|sk-second/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
