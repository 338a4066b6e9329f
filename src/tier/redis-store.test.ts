/**
 * The store in a Redis against one that is spoken here, so that it can misbehave; real ones, with users, passwords, TLS and Unix
 * sockets, are test/fleet/redis-store.test.ts's.
 */
import { afterEach, describe, expect, test } from "vitest";
import { type Answers, type SpokenRedis, spokenRedis } from "../../test/tier/spoken-redis.js";
import { conformance, failureOf, newName, PATIENT } from "../../test/tier/store-conformance.js";
import { openRedisStore, type RedisSettings } from "./redis-store.js";
import type { TierStore } from "./store.js";

const SETTINGS = { ttlSeconds: 60, longestRecord: 1_300_000 };

let redis: SpokenRedis | null = null;
let store: TierStore | null = null;
afterEach(async () => {
  await store?.close();
  await redis?.[Symbol.asyncDispose]();
  store = redis = null;
});

async function open(answers?: Answers, settings: Partial<RedisSettings> = {}): Promise<TierStore> {
  redis = await spokenRedis(answers);
  store = await openRedisStore({ ...SETTINGS, url: redis.url, ...settings });
  return store;
}

/** What it says about a failure. */
async function sentence(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "nothing",
    (error) => error.message,
  );
}

conformance(() => open());

test("asks for nothing but GET, SET and PING", async () => {
  const opened = await open();
  const name = newName();
  await opened.setIfAbsent(name, Buffer.from("record"));
  await opened.get(name, PATIENT);
  await opened.ping(PATIENT);
  // Both of its connections are looked at.
  expect(redis!.asked).toEqual(["SET", "GET", "PING", "PING"]);
  expect([...redis!.ttls]).toEqual([60]);
});

describe("what the server answers", () => {
  test.each([
    ["-OOM command not allowed when used memory > 'maxmemory'.", "unreachable", "full", /maxmemory-policy/],
    ["-NOPERM this user has no permissions", "unreachable", "full", /~lr1:\* \+get \+set \+ping/],
    ["-READONLY You can't write against a read only replica.", "unreachable", "full", /replica/],
    ["-MISCONF Redis is configured to save RDB snapshots", "unreachable", "full", /--save ''/],
    ["-LOADING Redis is loading the dataset in memory", "unreachable", "unreachable", /reading its data/],
    ["-MOVED 3999 127.0.0.1:6381", "unreachable", "unreachable", /cluster/],
    ["-NOAUTH Authentication required.", "unreachable", "unreachable", /the user or the password/],
    ["-ERR something else", "unreachable", "unreachable", /something else\.$/],
  ])("%s", async (answer, get, set, words) => {
    const opened = await open(() => `${answer}\r\n`);
    expect(await failureOf(opened.get(newName(), PATIENT))).toBe(get);
    const write = opened.setIfAbsent(newName(), Buffer.from("record"));
    expect(await sentence(write)).toMatch(words);
    expect(await failureOf(write)).toBe(set);
  });

  test.each(["ERR unknown command `AUTH`, with args beginning with: `hunt", "ERR I do not know a hunter2"])(
    "is never repeated with the password in it, nor with a part of it: %s",
    async (answer) => {
      redis = await spokenRedis((name) => (name === "AUTH" ? `-${answer}\r\n` : undefined));
      store = await openRedisStore({ ...SETTINGS, url: redis.url.replace("//", "//:hunter2@") });
      const said = await sentence(store.get(newName(), PATIENT));
      expect(said).toMatch(/cannot be reached: ERR (unknown command|I do not know)/);
      expect(said).not.toContain("hunt");
      expect(store.address).not.toContain("hunt");
    },
  );

  test("nothing: it fails in time, and the connection is made anew", async () => {
    let isSilent = true;
    const opened = await open((name) => (name === "GET" && isSilent ? null : undefined), {
      commandTimeoutMs: 100,
    });
    expect(await sentence(opened.get(newName(), PATIENT))).toMatch(/in time/);
    isSilent = false;
    // On a busy machine an answer may be too late, too.
    const ask = () => opened.get(newName(), PATIENT).catch(() => "too late");
    let found = await ask();
    for (; found === "too late"; found = await ask()) await pause();
    expect(found).toBeNull();
  });

  test("too late: what comes afterwards is no other's answer", async () => {
    let answer = () => {};
    const opened = await open((name, socket) => {
      if (name !== "GET" || answer.name === "late") return undefined;
      answer = function late() {
        socket.write("$4\r\nlate\r\n");
      };
      return null;
    });
    const controller = new AbortController();
    const first = opened.get(newName(), controller.signal);
    while (answer.name !== "late") await pause();
    controller.abort();
    expect(await failureOf(first)).toBe("unreachable");
    const second = opened.get(newName(), PATIENT);
    answer();
    expect(await second).toBeNull();
  });

  test("without an end: it is let go of, and not collected", async () => {
    let sent = 0;
    const opened = await open(
      (name, socket) => {
        if (name !== "GET") return undefined;
        const more = () => {
          if (socket.destroyed) return;
          sent += 65_536;
          socket.write(Buffer.alloc(65_536), more);
        };
        socket.write("$99999999999\r\n", more);
        return null;
      },
      { longestRecord: 10_000 },
    );
    expect(await failureOf(opened.get(newName(), PATIENT))).toBe("unreachable");
    expect(sent).toBeLessThan(20_000_000);
  });

  test("many records, one after the other: the connection stays", async () => {
    const opened = await open(undefined, { longestRecord: 1000 });
    const name = newName();
    await opened.setIfAbsent(name, Buffer.alloc(1000));
    for (let i = 0; i < 100; i++) expect(await opened.get(name, PATIENT)).toHaveLength(1000);
  });

  test("that the name is of a list: no record, and no fault of the store", async () => {
    const opened = await open(() => "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    expect(await opened.get(newName(), PATIENT)).toHaveLength(0);
  });

  test("what is no answer: it fails, and nothing else does", async () => {
    const opened = await open((name) => (name === "GET" ? "nonsense\r\n" : undefined));
    expect(await failureOf(opened.get(newName(), PATIENT))).toBe("unreachable");
    expect(await opened.setIfAbsent(newName(), Buffer.from("record"))).toBe(true);
  });
});

describe("without a server", () => {
  test("it opens, fails at once, says why, and finds one that comes later", async () => {
    redis = await spokenRedis();
    const { url } = redis;
    await redis[Symbol.asyncDispose]();
    store = await openRedisStore({ ...SETTINGS, url });
    expect(await sentence(store.get(newName(), PATIENT))).toMatch(/cannot be reached: .*ECONNREFUSED/);
    expect(await failureOf(store.setIfAbsent(newName(), Buffer.from("record")))).toBe("unreachable");
    redis = await spokenRedis(undefined, Number(new URL(url).port));
    while ((await failureOf(store.ping(PATIENT))) !== "nothing") await pause();
    // Reads and writes have a connection each.
    while ((await failureOf(store.setIfAbsent(newName(), Buffer.from("record")))) !== "nothing")
      await pause();
  });

  test("it says when one is there again, which can then be asked", async () => {
    const opened = await open();
    const { url } = redis!;
    await redis![Symbol.asyncDispose]();
    const answered = new Promise<string[]>((resolve) =>
      opened.onConnected?.(() => {
        const work = [opened.get(newName(), PATIENT), opened.setIfAbsent(newName(), Buffer.from("record"))];
        resolve(Promise.all([...work, opened.ping(PATIENT)].map(failureOf)));
      }),
    );
    redis = await spokenRedis(undefined, Number(new URL(url).port));
    expect(await answered).toEqual(["nothing", "nothing", "nothing"]);
  });

  test("what was under way when it died fails", async () => {
    const opened = await open((name) => (name === "GET" ? null : undefined));
    const get = opened.get(newName(), PATIENT);
    while (!redis!.asked.includes("GET")) await pause();
    await redis![Symbol.asyncDispose]();
    expect(await sentence(get)).toMatch(/^The connection to redis:\S+ was lost\.$/);
  });
});

test("a closed store has no connections, and what was under way fails", async () => {
  const opened = await open((name) => (name === "GET" ? null : undefined));
  const get = opened.get(newName(), PATIENT);
  while (!redis!.asked.includes("GET")) await pause();
  await opened.close();
  expect(await failureOf(get)).toBe("unreachable");
  expect(await sentence(opened.ping(PATIENT))).toMatch(/not used any more/);
  while (redis!.numConnected() > 0) await pause();
});

test("without ioredis it says what to install", async () => {
  const missing = Object.assign(new Error("Cannot find package 'ioredis'"), { code: "ERR_MODULE_NOT_FOUND" });
  const opening = openRedisStore({ ...SETTINGS, url: "redis://127.0.0.1" }, () => Promise.reject(missing));
  await expect(opening).rejects.toMatchObject({ code: "runtime_unsupported" });
  expect(await sentence(opening)).toContain("npm install ioredis@6");
});

describe("settings that go against each other", () => {
  test.each([
    ["two passwords", { url: "redis://:a@127.0.0.1", passwordFile: "/nowhere" }],
    ["certificates without TLS", { url: "redis://127.0.0.1", caFile: "/nowhere" }],
    ["a certificate without its key", { url: "rediss://127.0.0.1", certFile: "/nowhere" }],
    ["a file that is not there", { url: "rediss://127.0.0.1", caFile: "/nowhere" }],
    ["a password that is not there", { url: "redis://127.0.0.1", passwordFile: "/nowhere" }],
  ])("%s", async (_, settings) => {
    await expect(openRedisStore({ ...SETTINGS, ...settings })).rejects.toMatchObject({
      code: "invalid_argument",
    });
  });
});

function pause(): Promise<void> {
  return new Promise((done) => setTimeout(done, 5));
}
