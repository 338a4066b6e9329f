/** Tiers as programs make them, with their threads; these run the build's script. */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ConnectedEngine } from "../../test/tier/connected-engine.js";
import { tokensOf } from "../../test/tier/hosted-tier.js";
import { spokenRedis } from "../../test/tier/spoken-redis.js";
import { IDENTITY, TIER_KEY } from "../../test/tier/tier-identity.js";
import { directoryTier, redisTier } from "./kv-tier.js";
import { tenantSalt } from "./tenant-salt.js";

/** Nothing takes so long, but on a machine that does much else. */
const PATIENCE_MS = 60_000;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-tier-"));
});
afterEach(() => rm(folder, { recursive: true }));

const tierHere = () => directoryTier({ folder: join(folder, "tier"), key: TIER_KEY });

describe("a tier with a thread of its own", () => {
  test("what one engine has stored another loads; counters are told, and the last ones after the end", async () => {
    const one = await ConnectedEngine.of(tierHere());
    expect(one.connection.policy).toEqual({ write: "auto", deadlineMs: 250 });
    const tokens = tokensOf(1, 96);
    await one.until(() => one.engine.state.takesStores);
    one.engine.store(tokens);
    await one.until(() => one.engine.lent.size === 0);
    await vi.waitFor(async () => expect((await one.connection.stats()).written).toBe(12), PATIENCE_MS);
    await one.end();

    const two = await ConnectedEngine.of(tierHere());
    await two.until(() => two.engine.state.takesLoads && two.engine.state.takesStores);
    const id = two.engine.load(tokens, { deadlineMs: PATIENCE_MS });
    await two.until(() => two.engine.lengthOf(id) !== null);
    expect(two.engine.lengthOf(id)).toBe(6);
    const { hits, loads, lost, problem, breaker } = await two.connection.stats();
    expect({ hits, loads, lost, problem, breaker }).toEqual({
      ...{ hits: 10, loads: 1, lost: null, problem: null, breaker: "closed" },
    });
    await two.end();
    await two.connection.close();
    expect((await two.connection.stats()).hits).toBe(10);
    expect([...one.engine.wrong, ...two.engine.wrong]).toEqual([]);
    // Nothing is written to see whether it can be used.
    const files = await readdir(folder, { recursive: true });
    expect(await tierHere().check()).toBe(null);
    expect(await readdir(folder, { recursive: true })).toEqual(files);
  });

  test("a store that cannot be reached is no error, and its counters say what is wrong", async () => {
    const url = "redis://user:secret@127.0.0.1:1";
    const tier = redisTier({ url, key: TIER_KEY, write: "second", deadlineMs: 40 });
    const { engine, connection, end } = await ConnectedEngine.of(tier);
    expect(connection.policy).toEqual({ write: "second", deadlineMs: 40 });
    expect(engine.states).toMatchObject([{ takesLoads: false, takesStores: false }]);
    const { breaker, problem } = await connection.stats();
    expect(breaker).toBe("open");
    expect(problem).toContain("127.0.0.1:1");
    expect(problem).not.toContain("secret");
    expect(await tier.check()).toBe(problem);
    await end();
  });

  test("a thread that is lost: the engine's port closes, a warning is given, the counters stay and say so", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    try {
      const { connection, port, isPortClosed, until } = await ConnectedEngine.of(tierHere());
      // No engine says such a thing: a fault.
      port.postMessage({ type: "store", salt: "", tokens: null, blocks: [{}] });
      await until(isPortClosed);
      await vi.waitFor(() => expect(warn).toHaveBeenCalledTimes(1), PATIENCE_MS);
      expect(String(warn.mock.calls[0][0])).toMatch(
        /^The KV tier's thread was lost \(.+\); the model goes on/,
      );
      const { lost, breaker, loads } = await connection.stats();
      expect({ lost: typeof lost, breaker, loads }).toEqual({ lost: "string", breaker: "open", loads: 0 });
      await connection.close();
    } finally {
      warn.mockRestore();
    }
  });

  test("what can't be used is refused when it is connected", async () => {
    await writeFile(join(folder, "file"), "");
    const tier = directoryTier({ folder: join(folder, "file", "tier"), key: TIER_KEY });
    await expect(tier.connect(IDENTITY)).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(tier.check()).rejects.toMatchObject({ code: "invalid_argument" });
    expect(await readdir(folder)).toEqual(["file"]);
  });

  test("does not keep a program alive, and a program may end while it is open", async () => {
    const tier = `directoryTier({ folder: ${JSON.stringify(folder)}, key: new Uint8Array(32) })`;
    expect((await programOver(tier)).stdout).toBe("0 closed\n");
  });

  test("the password of a Redis is not printed where DEBUG asks its client to print what it sends", async () => {
    await using redis = await spokenRedis();
    const url = redis.url.replace("//", "//:hunter2@");
    const tier = `redisTier({ url: ${JSON.stringify(url)}, key: new Uint8Array(32) })`;
    const { stdout, stderr } = await programOver(tier, { DEBUG: "*" });
    expect({ stdout, stderr }).toEqual({ stdout: "0 closed\n", stderr: "" });
    expect(redis.asked).toContain("AUTH");
  });
});

/** Runs a program that connects a tier, says what its counters say, and ends by itself. */
function programOver(tier: string, env: NodeJS.ProcessEnv = {}) {
  const address = pathToFileURL(fileURLToPath(new URL("../../dist/tier/index.js", import.meta.url)));
  const program = `
    import { directoryTier, redisTier } from ${JSON.stringify(address.href)};
    const connection = await (${tier}).connect(${JSON.stringify(IDENTITY)});
    connection.port.unref();
    const { loads, breaker } = await connection.stats();
    console.log(loads, breaker);`;
  return promisify(execFile)("node", ["--input-type=module", "-e", program], {
    timeout: PATIENCE_MS,
    env: { ...process.env, ...env },
  });
}

describe("options", () => {
  const redis = (more: object) => () => redisTier({ url: "redis://localhost", key: TIER_KEY, ...more });
  const inFolder = (more: object) => () => directoryTier({ folder, key: TIER_KEY, ...more });

  test("a tenant's salt is that of the key", () => {
    expect(inFolder({})().tenantSalt("Ada")).toBe(tenantSalt(TIER_KEY, "Ada"));
  });

  test.each([
    [
      "a short key",
      redis({ key: new Uint8Array(31) }),
      "key is a Uint8Array of 32 bytes or more, not 31 bytes.",
    ],
    [
      "a key as text",
      redis({ key: "s3cret" }),
      "key is a Uint8Array of 32 bytes or more, not something else.",
    ],
    ["no key", inFolder({ key: undefined }), /^key is a Uint8Array/],
    ["another's URL", redis({ url: "http://localhost" }), /Redis is a URL/],
    ["no URL", redis({ url: undefined }), /Redis is a URL/],
    ["a policy", redis({ write: "always" }), /^write is "auto" or "first" or "second", not "always"/],
    ["a deadline", inFolder({ deadlineMs: 0 }), /^deadlineMs is a whole number from 1 to 60000, not 0/],
    ["a time to live", redis({ ttlSeconds: 1.5 }), /^ttlSeconds is a whole number from 1/],
    ["a folder", inFolder({ folder: "" }), /^folder is the path/],
    ["a file", redis({ caFile: 7 }), /^caFile is the path/],
    ["a limit", inFolder({ limit: "much" }), /^limit is a positive number of bytes or a size/],
    ["another's option", inFolder({ url: "redis://localhost" }), /^directoryTier has no option url/],
    [
      "a wrong name",
      redis({ ttl_seconds: 3 }),
      /^redisTier has no option ttl_seconds. Did you mean ttlSeconds\?/,
    ],
  ] as const)("%s is refused, in a sentence", (_, make, message) => {
    expect(make).toThrow(message);
    expect(make).not.toThrow(/s3cret/);
  });
});
