/** What the other tests of a fleet stand on: the programs start, do what they are started for, and are gone afterwards. */
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import { complete, endAll, start } from "../serving/serve-process.js";
import { startProgram } from "./child-process.js";
import { startHaproxy } from "./haproxy.js";
import { twoHosts } from "./network-namespaces.js";
import { startRedis } from "./redis-server.js";

afterEach(endAll);

test("Redis answers on its socket, writes nothing to disk, and shows what it is sent", async () => {
  await using redis = await startRedis();
  await using monitor = await redis.monitor();
  expect(await redis.ask("set", "name", "value")).toBe("OK");
  expect(await redis.ask("get", "name")).toBe("value");
  expect(await redis.ask("config", "get", "save")).toBe("save\n");
  expect(monitor.log.join("\n")).toContain('"get" "name"');
});

test("HAProxy hands requests on to a server", async () => {
  const server = await start();
  await using proxy = await startHaproxy(
    (port) => `
defaults
  mode http
  timeout connect 2s
  timeout client 1m
  timeout server 1m
listen all
  bind 127.0.0.1:${port}
  server a 127.0.0.1:${server.port}
`,
  );
  const answer = await complete(proxy.url, { max_tokens: 4, seed: 1 });
  expect(answer.status).toBe(200);
  const direct = await complete(server.url, { max_tokens: 4, seed: 1 });
  expect((await answer.json()).choices).toEqual((await direct.json()).choices);
});

test("two hosts reach each other until the cable is pulled, and connections stay open", async ({ skip }) => {
  await using hosts = await twoHosts();
  if (hosts === null) return skip("no network namespaces");
  const { a, b } = hosts;
  await using redis = await startRedis({ port: 6400, host: b.address, by: b.by });
  const cli = ["redis-cli", "-h", b.address, "-p", "6400"];
  const pings = (seconds: number) =>
    startProgram(
      ["timeout", String(seconds), ...cli, "-r", "-1", "-i", "0.05", "ping"],
      (line) => line === "PONG",
      {
        by: a.by,
      },
    );
  await using client = await pings(20);
  await hosts.link("down");
  // Eight of them would come; what came before may still be read.
  let before: number;
  let looks = 0;
  do {
    before = client.log.length;
    await new Promise((resolve) => setTimeout(resolve, 400));
    looks += 1;
  } while (client.log.length - before > 2 && looks < 10);
  expect(client.log.length - before).toBeLessThan(3);
  expect(client.child.exitCode).toBeNull();
  // It is there all the same.
  expect(await redis.ask("ping")).toBe("PONG");
  await hosts.link("up");
  while (client.log.length < before + 5) await once(client.child.stdout!, "data");
});

test("a program that is disposed of is gone, even one that is stopped", async () => {
  const redis = await startRedis({ port: "free" });
  redis.child.kill("SIGSTOP");
  await redis[Symbol.asyncDispose]();
  expect(redis.child.signalCode).toBe("SIGKILL");
  const socket = connect(Number(redis.url.split(":").at(-1)), "127.0.0.1");
  const [error] = await once(socket, "error");
  expect(error.code).toBe("ECONNREFUSED");
});
