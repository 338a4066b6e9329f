import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request as forward, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type HubServer, startHubServer } from "../../test/hub-server.js";
import { platform } from "./node.js";
import { proxiedFetch } from "./proxied-fetch.js";

const CONFIG = '{"model_type":"gpt2"}';

let hub: HubServer;
let proxy: Server;
let address: string;
/** What the proxy was asked for: method, target, and who asked. */
let asked: string[];

/** A proxy that sends all plain requests to the Hub on loopback, whatever their host, and opens no tunnels. */
beforeEach(async () => {
  const model = { refs: { main: "c".repeat(40) }, commits: { ["c".repeat(40)]: { "config.json": CONFIG } } };
  hub = await startHubServer({ "org/model": model });
  asked = [];
  proxy = createServer((request, response) => {
    const by = request.headers["proxy-authorization"] ?? "nobody";
    asked.push(`${request.method} ${request.url} ${by}`);
    const { pathname, search } = new URL(request.url ?? "");
    forward(`${hub.endpoint}${pathname}${search}`, { method: request.method ?? "GET" }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    }).end();
  });
  proxy.on("connect", ({ method, url, headers }, socket) => {
    asked.push(`${method} ${url} ${headers["proxy-authorization"] ?? "nobody"}`);
    socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  address = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  proxy.closeAllConnections();
  await new Promise((resolve) => proxy.close(resolve));
});

const PATH = "/org/model/resolve/main/config.json";
const fetched = async (env: Record<string, string>, url: string) =>
  (await proxiedFetch(env)(url)).text().catch((error) => String(error));

describe("proxiedFetch", () => {
  it.each<[string, (address: string) => Record<string, string>]>([
    ["HTTP_PROXY", (at) => ({ HTTP_PROXY: `http://${at}` })],
    ["http_proxy", (at) => ({ http_proxy: `http://${at}` })],
    [
      "http_proxy before HTTP_PROXY",
      (at) => ({ http_proxy: `http://${at}`, HTTP_PROXY: "http://127.0.0.1:1" }),
    ],
    ["HTTP_PROXY without a scheme", (at) => ({ HTTP_PROXY: at })],
    [
      "HTTP_PROXY, though others are left out",
      (at) => ({ HTTP_PROXY: at, NO_PROXY: "example.org,models.example:81" }),
    ],
  ])("goes by %s", async (_, env) => {
    expect(await fetched(env(address), `http://models.example${PATH}`)).toBe(CONFIG);
    expect(asked).toEqual([`GET http://models.example${PATH} nobody`]);
  });

  it("opens tunnels for https, by HTTPS_PROXY and with its password", async () => {
    const env = { HTTP_PROXY: "http://127.0.0.1:1", HTTPS_PROXY: `http://me:secret@${address}` };
    const error = await proxiedFetch(env)("https://models.example/").catch((thrown) => thrown);
    expect(error).toBeInstanceOf(Error);
    expect(`${error} ${error.cause}`).not.toContain("secret");
    expect(asked).toEqual([`CONNECT models.example:443 Basic ${btoa("me:secret")}`]);
  });

  it.each(["127.0.0.1", "*", "example.org, 127.0.0.1"])(
    "goes directly to what NO_PROXY=%s names",
    async (list) => {
      expect(await fetched({ HTTP_PROXY: address, NO_PROXY: list }, `${hub.endpoint}${PATH}`)).toBe(CONFIG);
      expect(await fetched({ HTTP_PROXY: address, no_proxy: list }, `${hub.endpoint}${PATH}`)).toBe(CONFIG);
      expect(asked).toEqual([]);
    },
  );

  it("leaves subdomains of NO_PROXY alone, and nothing that only ends alike", async () => {
    const env = { HTTP_PROXY: address, NO_PROXY: ".invalid" };
    await expect(proxiedFetch(env)("http://models.invalid/")).rejects.toThrow();
    expect(asked).toEqual([]);
    await fetched(env, "http://notinvalid/");
    expect(asked).toEqual(["GET http://notinvalid/ nobody"]);
  });

  it("is the runtime's own without a proxy", async () => {
    const own = vi.spyOn(globalThis, "fetch");
    const env = { HTTP_PROXY: "", HTTPS_PROXY: "", NO_PROXY: "x" };
    expect(await fetched(env, `${hub.endpoint}${PATH}`)).toBe(CONFIG);
    expect(own).toHaveBeenCalledOnce();
    own.mockRestore();
  });

  it.each(["socks5://127.0.0.1:1", "http://", "http://me:secret@:x"])("refuses %s", async (value) => {
    const error = await proxiedFetch({ HTTPS_PROXY: value })("http://a.example/").catch((thrown) => thrown);
    expect(error).toMatchObject({
      code: "invalid_argument",
      message: "HTTPS_PROXY must be the address of an HTTP proxy, such as http://proxy.example:3128.",
    });
  });
});

describe("a model behind a proxy", () => {
  let home: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "lastrow-proxy-"));
    vi.stubEnv("HF_HOME", home);
    vi.stubEnv("HF_ENDPOINT", "http://hub.example");
    for (const name of ["http_proxy", "https_proxy", "no_proxy", "NO_PROXY"]) vi.stubEnv(name, undefined);
    vi.stubEnv("HTTP_PROXY", address);
  });
  afterEach(() => rm(home, { recursive: true, force: true }));

  it("comes from the Hub", async () => {
    const files = await platform.openModel("org/model", { weights: false });
    const file = await files.open("config.json");
    expect(file?.size).toBe(CONFIG.length);
    await file?.close();
    expect(asked.length).toBeGreaterThan(2);
    expect(asked.every((line) => line.startsWith("GET http://hub.example/"))).toBe(true);
  });

  it.each<[string, () => string | URL | Record<string, string>]>([
    ["an address", () => "http://models.example/org/model/resolve/main"],
    ["a URL", () => new URL("http://models.example/org/model/resolve/main")],
    ["an object of addresses", () => ({ "config.json": `http://models.example${PATH}` })],
  ])("comes from %s", async (_, source) => {
    const files = await platform.openModel(source(), {});
    const file = await files.open("config.json");
    const bytes = new Uint8Array(file!.size);
    await file!.read(0, bytes);
    await file!.close();
    expect(new TextDecoder().decode(bytes)).toBe(CONFIG);
    expect(asked).toEqual([`GET http://models.example${PATH} nobody`]);
  });

  it("says what is wrong with the variable, and needs none for a folder", async () => {
    vi.stubEnv("HTTP_PROXY", "ftp://me:secret@127.0.0.1");
    const wrong = { code: "invalid_argument", message: expect.stringMatching(/^HTTP_PROXY must be/) };
    await expect(platform.openModel("org/model", {})).rejects.toMatchObject(wrong);
    const addressed = await platform.openModel("http://models.example/", {});
    await expect(addressed.open("config.json")).rejects.toMatchObject(wrong);
    expect((await platform.openModel(home, {})).label).toBe(home);
  });
});
