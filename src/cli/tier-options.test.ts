/** What is said of a tier on the command line becomes a tier, or a sentence that names the option to mend. */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run } from "../../test/cli/captured-io.js";
import { tenantSalt } from "../tier/tenant-salt.js";
import { type TierCommandOptions, tierOf, tierPlace } from "./tier-options.js";

const KEY = Buffer.from("0123456789abcdef0123456789abcdef");
const URL = "redis://tier.example";
let folder: string;
let key: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-tier-options-"));
  key = join(folder, "tier.key");
  await writeFile(key, KEY, { mode: 0o600 });
});
afterAll(() => rm(folder, { recursive: true }));

test("without its options there is none", async () => {
  expect(await tierOf({})).toBeUndefined();
});

test.each<[string, () => TierCommandOptions]>([
  ["a Redis", () => ({ tier: URL, tierKeyFile: key, tierTtl: 60, tierDeadline: 100, tierWrite: "second" })],
  [
    "a Redis with a user and TLS",
    () => ({ tier: "rediss://lastrow@h:1/2", tierKeyFile: key, tierCaFile: key }),
  ],
  ["a folder", () => ({ tierFile: folder, tierKeyFile: key, tierSize: "1GiB" })],
])("%s, whose tenants have the salts of the key in the file", async (_, options) => {
  const tier = await tierOf(options());
  expect(tier!.tenantSalt("alice")).toBe(tenantSalt(KEY, "alice"));
});

test.each<[TierCommandOptions, RegExp]>([
  [{ tier: URL }, /^A tier needs --tier-key-file FILE/],
  [{ tierFile: "x" }, /^A tier needs --tier-key-file FILE/],
  [{ tierKeyFile: "x" }, /^--tier-key-file belongs to a tier: give --tier URL or --tier-file FOLDER, too\.$/],
  [{ tierTtl: 1 }, /^--tier-ttl belongs to a tier/],
  [{ tier: URL, tierFile: "x", tierKeyFile: "x" }, /--tier or --tier-file, not both\.$/],
  [{ tier: URL, tierKeyFile: "x", tierSize: "1GiB" }, /^--tier-size is for --tier-file\.$/],
  [{ tierFile: "x", tierKeyFile: "x", tierCaFile: "x" }, /^--tier-ca-file is for --tier\.$/],
  [
    { tier: "redis://u:hush@h", tierKeyFile: "x" },
    /^A password on the command line .* --tier-password-file\.$/,
  ],
  [{ tier: URL, tierKeyFile: "/nowhere/x" }, /The tier key cannot be read from \/nowhere\/x/],
  [{ tier: URL, tierKeyFile: "short" }, /The tier key in .*short has 31 bytes; it has 32 to/],
  [{ tier: URL, tierKeyFile: "open" }, /The tier key in .*open may be read or written by others/],
  [{ tier: "http://h", tierKeyFile: "fine" }, /^The address of a Redis is a URL/],
  [{ tierFile: "", tierKeyFile: "fine" }, /folder is the path of a file or a folder/],
])("%j is refused", async (options, sentence) => {
  await writeFile(join(folder, "short"), KEY.subarray(1), { mode: 0o600 });
  await writeFile(join(folder, "open"), KEY);
  await chmod(join(folder, "open"), 0o644);
  await writeFile(join(folder, "fine"), KEY, { mode: 0o600 });
  const { tierKeyFile } = options;
  const named = ["short", "open", "fine"].includes(tierKeyFile ?? "")
    ? { tierKeyFile: join(folder, tierKeyFile!) }
    : {};
  const refused = await tierOf({ ...options, ...named }).catch((error) => error);
  expect(refused).toMatchObject({ code: "invalid_argument", message: expect.stringMatching(sentence) });
  expect(refused.message).not.toContain("hush");
});

test.each<[string[], string]>([
  [["--tier", URL], "--tier-key-file"],
  [["--tier-deadline", "soon"], "--tier-deadline is a positive number of seconds or a time such as"],
  [["--tier-write", "third"], "Allowed choices are auto, first, second."],
  [["--tier-size", "much"], "--tier-size is a positive number of bytes or a size such as"],
  [["--instance", "a_b"], 'not "a_b"'],
])("lastrow serve %j says what is wrong, and loads nothing", async (args, sentence) => {
  const { exitCode, stdout, stderr } = await run(["serve", "--model", "/nowhere", ...args]);
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
  expect(stderr).toContain(sentence);
});

test.each<[TierCommandOptions, string | null]>([
  [{}, null],
  [{ tier: "rediss://lastrow@tier.example:7000/2" }, "rediss://tier.example:7000/2"],
  [{ tier: "redis+unix:///run/valkey/socket" }, "redis+unix:///run/valkey/socket"],
  [{ tierFile: "/srv/tier" }, "/srv/tier"],
])("people are told where the tier of %j is: %s", (options, place) => {
  expect(tierPlace(options)).toBe(place);
});
