/** The tier's store in a real Redis: over TCP, Unix sockets and TLS, with users, passwords and their rights, full, stopped and gone. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openRedisStore, type RedisSettings } from "../../src/tier/redis-store.js";
import type { TierStore } from "../../src/tier/store.js";
import { read } from "../deploy/deploy-files.js";
import { conformance, failureOf, newName, PATIENT } from "../tier/store-conformance.js";
import { type Certificates, certificates } from "./certificates.js";
import { freePort } from "./child-process.js";
import { type RedisServer, startRedis } from "./redis-server.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lastrow-redis-store-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const opened: TierStore[] = [];
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

async function open(settings: Partial<RedisSettings> & { url: string }): Promise<TierStore> {
  const store = await openRedisStore({ ttlSeconds: 60, longestRecord: 1_300_000, ...settings });
  opened.push(store);
  return store;
}

async function sentence(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "nothing",
    (error) => error.message,
  );
}

/** Until a server that has come back is found; how long that took, in milliseconds. */
async function untilItAnswers(store: TierStore): Promise<number> {
  const begun = performance.now();
  while ((await failureOf(store.ping(PATIENT))) !== "nothing")
    await new Promise((done) => setTimeout(done, 10));
  return performance.now() - begun;
}

describe("over its Unix socket", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  conformance(() => open({ url: redis.url }));

  test("a record has the time to live that it was given, also when it is read", async () => {
    const store = await open({ url: redis.url, ttlSeconds: 1234 });
    const name = newName();
    await store.setIfAbsent(name, Buffer.from("record"));
    await store.get(name, PATIENT);
    expect(Number(await redis.ask("ttl", name))).toBeGreaterThan(1200);
    expect(Number(await redis.ask("ttl", name))).toBeLessThanOrEqual(1234);
  });

  test("a database of its own", async () => {
    const store = await open({ url: `${redis.url}?db=3` });
    const name = newName();
    await store.setIfAbsent(name, Buffer.from("record"));
    expect(await redis.ask("-n", "3", "exists", name)).toBe("1");
    expect(await redis.ask("exists", name)).toBe("0");
  });

  test("wiped: it has nothing, and takes it again; what is no string is no record", async () => {
    const store = await open({ url: redis.url });
    const name = newName();
    await store.setIfAbsent(name, Buffer.from("record"));
    await redis.ask("flushall");
    expect(await store.get(name, PATIENT)).toBeNull();
    expect(await store.setIfAbsent(name, Buffer.from("record"))).toBe(true);
    await redis.ask("del", name);
    await redis.ask("lpush", name, "item");
    expect(await store.get(name, PATIENT)).toHaveLength(0);
  });

  test("full: it takes nothing more, is read as before, and takes again when there is room", async () => {
    const store = await open({ url: redis.url });
    const name = newName();
    await store.setIfAbsent(name, Buffer.alloc(1000));
    await redis.ask("config", "set", "maxmemory", "1");
    await redis.ask("config", "set", "maxmemory-policy", "noeviction");
    const refused = store.setIfAbsent(newName(), Buffer.alloc(1000));
    expect(await failureOf(refused)).toBe("full");
    expect(await sentence(refused)).toContain("allkeys-lfu");
    expect(await store.get(name, PATIENT)).toHaveLength(1000);
    await redis.ask("config", "set", "maxmemory", "0");
    expect(await store.setIfAbsent(newName(), Buffer.alloc(1000))).toBe(true);
  });

  test("a replica that takes no records is full, and read", async () => {
    const store = await open({ url: redis.url });
    const name = newName();
    await store.setIfAbsent(name, Buffer.from("record"));
    await redis.ask("config", "set", "replica-serve-stale-data", "yes");
    await redis.ask("replicaof", "127.0.0.1", "1");
    expect(await failureOf(store.setIfAbsent(newName(), Buffer.from("record")))).toBe("full");
    expect(await store.get(name, PATIENT)).toHaveLength(6);
    await redis.ask("replicaof", "no", "one");
  });
});

describe("over TCP", () => {
  test("stopped: what is asked fails in time; continued, it is found again", async () => {
    await using redis = await startRedis({ port: "free" });
    const store = await open({ url: redis.url, commandTimeoutMs: 100 });
    await store.ping(PATIENT);
    redis.child.kill("SIGSTOP");
    expect(await failureOf(store.get(newName(), PATIENT))).toBe("unreachable");
    expect(await failureOf(store.setIfAbsent(newName(), Buffer.from("record")))).toBe("unreachable");
    redis.child.kill("SIGCONT");
    expect(await untilItAnswers(store)).toBeLessThan(2000);
  });

  test("killed: what is asked fails at once; started again, it is found within two seconds", async () => {
    const port = await freePort();
    const first = await startRedis({ port });
    const store = await open({ url: first.url });
    await store.ping(PATIENT);
    await first[Symbol.asyncDispose]();
    // Long enough for the pauses between attempts to be as long as they get.
    for (let i = 0; i < 30; i++) {
      expect(await failureOf(store.get(newName(), PATIENT))).toBe("unreachable");
      await new Promise((done) => setTimeout(done, 50));
    }
    await using again = await startRedis({ port });
    expect(again.url).toBe(first.url);
    expect(await untilItAnswers(store)).toBeLessThan(2000);
  });

  test("whoever is not there: it opens all the same, and says what is wrong", async () => {
    const store = await open({ url: `redis://127.0.0.1:${await freePort()}` });
    expect(await sentence(store.get(newName(), PATIENT))).toContain("ECONNREFUSED");
    const nameless = await open({ url: "redis://nowhere.invalid", commandTimeoutMs: 500 });
    expect(await failureOf(nameless.get(newName(), PATIENT))).toBe("unreachable");
  });
});

describe("with users", () => {
  let redis: RedisServer;
  const password = "p@ss/word%";
  /** What is given to the tier's user where it is run as is shipped. */
  const RIGHTS = /^user lastrow on #\w+ (.+)$/m.exec(read("valkey/users.acl"))![1].split(" ");
  beforeAll(async () => {
    redis = await startRedis({ port: "free" });
    await redis.ask("acl", "setuser", "lastrow", "on", `>${password}`, ...RIGHTS);
    await redis.ask("acl", "setuser", "reader", "on", ">reader", "~lr1:*", "-@all", "+get", "+ping");
    await redis.ask("acl", "setuser", "default", "resetpass", ">other");
  });
  afterAll(() => redis[Symbol.asyncDispose]());
  const urlOf = (credentials: string) => redis.url.replace("//", `//${credentials}@`);

  test("the rights that it needs are all that it has", async () => {
    const store = await open({ url: urlOf(`lastrow:${encodeURIComponent(password)}`) });
    const name = newName();
    expect(await store.setIfAbsent(name, Buffer.from("record"))).toBe(true);
    expect(await store.get(name, PATIENT)).toHaveLength(6);
    await store.ping(PATIENT);
  });

  test.each([`${password}`, `${password}\n`])("a password in a file: %j", async (contents) => {
    const passwordFile = join(folder, "password");
    writeFileSync(passwordFile, contents, { mode: 0o600 });
    const store = await open({ url: urlOf("lastrow"), passwordFile });
    await store.ping(PATIENT);
  });

  test("a wrong password, or none: it says so, and does not show it", async () => {
    for (const credentials of ["lastrow:hunter2", "nobody:hunter2", ":hunter2"]) {
      const store = await open({ url: urlOf(credentials) });
      const said = await sentence(store.get(newName(), PATIENT));
      expect(said).toContain("refuses the user or the password");
      expect(said).not.toContain("hunter2");
    }
    const store = await open({ url: redis.url });
    expect(await sentence(store.get(newName(), PATIENT))).toContain("refuses the user or the password");
  });

  test("a user that may only read: full for writes", async () => {
    const store = await open({ url: urlOf("reader:reader") });
    expect(await store.get(newName(), PATIENT)).toBeNull();
    const refused = store.setIfAbsent(newName(), Buffer.from("record"));
    expect(await failureOf(refused)).toBe("full");
    expect(await sentence(refused)).toContain("~lr1:* +get +set +ping");
  });

  test("of other names it may read and write none", async () => {
    const store = await open({ url: urlOf(`lastrow:${encodeURIComponent(password)}`) });
    const other = newName().replace("lr1:", "lr2:");
    expect(await failureOf(store.get(other, PATIENT))).toBe("unreachable");
    expect(await failureOf(store.setIfAbsent(other, Buffer.from("record")))).toBe("full");
  });
});

describe("over TLS", () => {
  let redis: RedisServer;
  let port: number;
  let files: Certificates;
  beforeAll(async () => {
    files = await certificates();
    port = await freePort();
    redis = await startRedis({ args: files.serverOptions(port) });
  });
  afterAll(async () => {
    await redis[Symbol.asyncDispose]();
    await files[Symbol.asyncDispose]();
  });
  const tls = (settings: Partial<RedisSettings> = {}) =>
    open({ url: `rediss://127.0.0.1:${port}`, caFile: files.authority, ...settings });

  conformance(() => tls());

  test("where clients need a certificate, one is shown, and none is refused", async () => {
    await redis.ask("config", "set", "tls-auth-clients", "yes");
    const known = await tls(files.client);
    await known.ping(PATIENT);
    const unknown = await tls();
    expect(await failureOf(unknown.ping(PATIENT))).toBe("unreachable");
    await redis.ask("config", "set", "tls-auth-clients", "optional");
  });

  test("a server whose certificate no known authority signed is not talked to", async () => {
    for (const caFile of [files.stranger, undefined]) {
      const store = await tls({ caFile });
      expect(await sentence(store.ping(PATIENT))).toMatch(/cannot be reached: .*certificate/);
    }
    const otherName = await tls({ url: `rediss://localhost:${port}` });
    expect(await sentence(otherName.ping(PATIENT))).toMatch(/cannot be reached: .*altnames/);
  });

  test("a server without TLS is not talked to", async () => {
    await using plain = await startRedis({ port: "free" });
    const store = await tls({ url: plain.url.replace("redis:", "rediss:"), commandTimeoutMs: 500 });
    expect(await failureOf(store.ping(PATIENT))).toBe("unreachable");
  });
});
