/** The files of deploy/, given to the programs that they are for: secrets, the store's settings and users, alerts, units. */
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { openRedisStore } from "../../src/tier/redis-store.js";
import { read, yaml } from "../deploy/deploy-files.js";
import { endAll, start } from "../serving/serve-process.js";
import { soon } from "../soon.js";
import { freePort } from "./child-process.js";
import { startShippedHaproxy } from "./haproxy.js";
import { type RedisServer, startRedis } from "./redis-server.js";

const run = promisify(execFile);
const DEPLOY = fileURLToPath(new URL("../../deploy/", import.meta.url));

let folder: string;
let secrets: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-deploy-"));
  secrets = join(folder, "secrets");
  const env = { ...process.env, SECRETS: secrets, STORE: "IP:127.0.0.1" };
  await run(join(DEPLOY, "make-secrets.sh"), { env });
});
afterEach(endAll);
afterAll(() => rm(folder, { recursive: true }));

const secret = async (name: string) => (await readFile(join(secrets, name), "utf8")).trim();

/** Whether a program is there; what is not is said aloud. */
async function isThere(program: string): Promise<boolean> {
  const found = await run("which", [program]).then(
    () => true,
    () => false,
  );
  if (!found) process.stderr.write(`SKIPPED: ${program} is not installed\n`);
  return found;
}

/** The store as it is shipped, at a port of this machine, with a user of the test's besides. */
async function startStore(): Promise<{ redis: RedisServer; url: string }> {
  const users = join(folder, "users.acl");
  await writeFile(users, `${await secret("users.acl")}\nuser test on >test ~* &* +@all\n`);
  const port = await freePort();
  const redis = await startRedis({
    args: [
      join(DEPLOY, "valkey/valkey.conf"),
      ...["--tls-port", String(port), "--aclfile", users],
      ...["--tls-cert-file", join(secrets, "valkey.crt"), "--tls-key-file", join(secrets, "valkey.key")],
    ],
    asUser: { name: "test", password: "test" },
  });
  return { redis, url: `rediss://lastrow@localhost:${port}` };
}

test("secrets are made once, and only who needs them reads them", async () => {
  expect((await stat(secrets)).mode & 0o777).toBe(0o700);
  for (const name of ["tier-key", "tier-password", "api-keys", "ca.key"]) {
    expect((await stat(join(secrets, name))).mode & 0o777, name).toBe(0o600);
  }
  const [compose] = yaml("compose.yaml");
  for (const { file } of Object.values<{ file: string }>(compose.secrets)) {
    expect((await stat(join(secrets, file.replace("./secrets/", "")))).size, file).toBeGreaterThan(0);
  }
  // The key that Prometheus sends is one of the servers'.
  expect(await secret("api-keys")).toContain(`prometheus ${await secret("metrics-key")}\n`);
  const again = run(join(DEPLOY, "make-secrets.sh"), { env: { ...process.env, SECRETS: secrets } });
  await expect(again).rejects.toThrow("is there already");
});

test("a real Redis takes the store's settings: evicts what is used least, and has no disk", async () => {
  const { redis } = await startStore();
  await using _ = redis;
  const setting = async (name: string) => (await redis.ask("config", "get", name)).split("\n")[1];
  expect(await setting("maxmemory-policy")).toBe("allkeys-lfu");
  expect(Number(await setting("maxmemory"))).toBe(4 * 2 ** 30);
  expect(await setting("save")).toBe("");
  expect(await setting("appendonly")).toBe("no");
});

test("its user reads and writes records and nothing else, over TLS, with the files that servers are given", async () => {
  const { redis, url } = await startStore();
  await using _ = redis;
  const settings = {
    ...{ url, passwordFile: join(secrets, "tier-password"), caFile: join(secrets, "ca.crt") },
    ...{ ttlSeconds: 60, longestRecord: 1 << 20 },
  };
  const store = await openRedisStore(settings);
  const patient = AbortSignal.timeout(5000);
  try {
    await store.ping(patient);
    // Also by the address that it was said to have.
    const byAddress = await openRedisStore({ ...settings, url: url.replace("localhost", "127.0.0.1") });
    await byAddress.ping(patient).finally(() => byAddress.close());
    expect(await store.setIfAbsent("lr1:test:1", Buffer.from("record"))).toBe(true);
    expect(await store.get("lr1:test:1", patient)).toEqual(Buffer.from("record"));
    await expect(store.setIfAbsent("other:1", Buffer.from("record"))).rejects.toThrow();
  } finally {
    await store.close();
  }
  const password = await secret("tier-password");
  const port = new URL(url).port;
  const asLastrow = async (...command: string[]) => {
    const args = ["--tls", "--cacert", settings.caFile, "-h", "localhost", "-p", port, "--user", "lastrow"];
    return (
      await run("redis-cli", [...args, "--pass", password, "--no-auth-warning", ...command])
    ).stdout.trim();
  };
  expect(await asLastrow("get", "lr1:test:1")).toBe("record");
  for (const command of [
    ["get", "other:1"],
    ["keys", "*"],
    ["scan", "0"],
    ["flushall"],
    ["config", "get", "*"],
    ["del", "lr1:test:1"],
    ["info"],
    ["select", "1"],
    ["monitor"],
    ["eval", "return 1", "0"],
  ]) {
    expect(await asLastrow(...command), command.join(" ")).toMatch(/^(\(error\) )?NOPERM/);
  }
  // Nobody without a password.
  const { stdout } = await run("redis-cli", [
    "--tls",
    "--cacert",
    settings.caFile,
    "-h",
    "localhost",
    "-p",
    port,
    "ping",
  ]);
  expect(stdout).toContain("NOAUTH");
});

test("servers start with the options and secrets of compose.yaml, and answer with the keys that were made", async () => {
  const { redis, url } = await startStore();
  await using _ = redis;
  const [{ services, secrets: files }] = yaml("compose.yaml");
  const placed = (word: string) =>
    word
      .replace(/\/run\/secrets\/([\w-]+)/, (__, name) =>
        join(secrets, files[name].file.replace("./secrets/", "")),
      )
      .replace("--host=0.0.0.0", "--host=127.0.0.1")
      .replace("--port=8080", "--port=0")
      .replace("--kv-memory=2GiB", "--kv-memory=64MiB")
      .replace("rediss://lastrow@valkey:6380", url);
  const server = await start(...services["lastrow-1"].command.map(placed));
  const [, mine] = /^me (\w+)$/m.exec(await secret("api-keys"))!;
  const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
  const metrics = () => fetch(`${server.url}/metrics`, as(mine)).then((answer) => answer.text());
  expect((await fetch(`${server.url}/v1/models`)).status).toBe(401);
  expect((await fetch(`${server.url}/v1/models`, as(mine))).status).toBe(200);
  const scraped = await fetch(`${server.url}/metrics`, as(await secret("metrics-key")));
  expect(scraped.status).toBe(200);
  // The store is reached.
  await soon(async () => expect(await metrics()).toMatch(/lastrow_tier_breaker_state\{[^}]*\} 0/));
});

test("without the digest of a password, the file of users is not taken", async () => {
  const template = join(folder, "template.acl");
  await writeFile(template, read("valkey/users.acl"));
  await expect(startRedis({ args: ["--aclfile", template] })).rejects.toThrow("ended");
});

test("promtool takes the configuration and the alerts, and each speaks up when it should", async ({
  skip,
}) => {
  if (!(await isThere("promtool"))) return skip("promtool is not installed");
  const cwd = join(DEPLOY, "prometheus");
  await run("promtool", ["check", "config", "--syntax-only", "prometheus.yml"], { cwd });
  await run("promtool", ["check", "rules", "alerts.yml"], { cwd });
  const { stdout } = await run("promtool", ["test", "rules", "alerts.test.yml"], { cwd });
  expect(stdout).toContain("SUCCESS");
  const tested = await readFile(join(cwd, "alerts.test.yml"), "utf8");
  for (const [, alert] of (await readFile(join(cwd, "alerts.yml"), "utf8")).matchAll(/- alert: (\w+)/g)) {
    // When it speaks up, and when it does not.
    expect(tested.split(new RegExp(`alertname: ${alert}\\b`)).length, alert).toBe(3);
  }
});

test("HAProxy tells what alerts and panels ask of it", async () => {
  await using proxy = await startShippedHaproxy([]);
  const told = await (await fetch(proxy.metricsUrl)).text();
  const asked = [read("prometheus/alerts.yml"), read("grafana/lastrow.json").replaceAll('\\"', '"')].join(
    "\n",
  );
  const names = [...asked.matchAll(/\b(haproxy_\w+)\{([^}]*)\}/g)];
  expect(names.length).toBeGreaterThan(2);
  for (const [, name, labels] of names)
    expect(told).toMatch(new RegExp(`^${name}\\{${labels.split(",")[0]},`, "m"));
});

test("systemd takes the unit, and finds little that it may do beyond its work", async ({ skip }) => {
  if (!(await isThere("systemd-analyze"))) return skip("systemd-analyze is not installed");
  const units = join(folder, "units");
  await mkdir(units);
  const unit = join(units, "lastrow@0.service");
  // It looks whether the program is there.
  const program = join(units, "lastrow");
  await writeFile(program, "");
  await chmod(program, 0o755);
  await writeFile(unit, read("systemd/lastrow@.service").replace("/usr/local/bin/lastrow", program));
  const { stderr } = await run("systemd-analyze", ["verify", "--man=no", unit]);
  expect(stderr).toBe("");
  await run("systemd-analyze", ["security", "--offline=true", "--threshold=20", unit]);
});
