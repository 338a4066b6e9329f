/** Requests that HTTP's own layer refuses: answered, counted and logged like all others. */
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Listening, listen } from "../../src/server/node-listener.js";
import { type Served, served } from "./served.js";

let api: Served;
let listening: Listening;
beforeAll(async () => {
  api = await served();
  listening = await listen(api.server, { host: "127.0.0.1", port: 0 });
});
afterAll(async () => {
  await listening.close(0);
  await api.server.dispose();
});

/** Everything that comes back before the connection ends, or is left open behind one answer. */
async function talk(bytes: string): Promise<string> {
  const socket = connect(listening.port, "127.0.0.1");
  let said = "";
  const answered = new Promise<void>((resolve) => {
    socket.on("data", (chunk) => {
      said += chunk;
      if (said.includes('"code"')) resolve();
    });
    socket.on("close", () => resolve());
  });
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.write(bytes);
  await answered;
  socket.destroy();
  return said;
}

const GET = "GET /health HTTP/1.1\r\n";

test.each<[string, string, number]>([
  ["no HTTP", "hello\r\n\r\n", 400],
  ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
  [
    "two lengths",
    `POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n`,
    400,
  ],
  ["too long headers", `${GET}host: localhost\r\nx: ${"a".repeat(20_000)}\r\n\r\n`, 431],
  ["no host", `${GET}\r\n`, 400],
  ["HTTP/1.0 without a host", "GET /health HTTP/1.0\r\n\r\n", 400],
  ["a host that is none", `${GET}host: a b\r\n\r\n`, 400],
  ["an address that is none", "GET http://[/ HTTP/1.1\r\nhost: localhost\r\n\r\n", 400],
  ["an address of another kind", "GET ftp://a/health HTTP/1.1\r\nhost: localhost\r\n\r\n", 400],
  ["an expectation", `${GET}host: localhost\r\nexpect: tea\r\n\r\n`, 417],
  ["a proxy's method", "CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\n\r\n", 405],
])("%s", async (_, bytes, status) => {
  const before = api.records.length;
  const answer = await talk(bytes);
  expect(answer).toMatch(new RegExp(`^HTTP/1\\.[01] ${status} `));
  const [head, body] = answer.split("\r\n\r\n");
  expect(head).toMatch(/^content-type: application\/json$/im);
  expect(head).toMatch(/^x-content-type-options: nosniff$/im);
  const id = /^x-request-id: (req-[\w-]+)$/im.exec(head)?.[1];
  const { error } = JSON.parse(body.slice(body.indexOf("{"), body.lastIndexOf("}") + 1));
  expect(error).toMatchObject({ type: "invalid_request_error", param: null, code: expect.any(String) });
  expect(api.records.slice(before)).toMatchObject([{ id, status, error: error.code, route: null }]);
});

test("a proxy's method is told that no method is allowed on what it names", async () => {
  const answer = await talk("CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\n\r\n");
  expect(answer).toMatch(/^allow: *\r$/im);
});

test("each is counted", async () => {
  const count = async (status: number) => {
    const text = await (await api.get("/metrics")).text();
    const line = new RegExp(
      `^lastrow:http_requests_total\\{route="none",status="${status}",[^}]*\\} (\\d+)$`,
      "m",
    );
    return Number(line.exec(text)?.[1] ?? 0);
  };
  const before = await count(400);
  await talk("hello\r\n\r\n");
  await talk(`${GET}\r\n`);
  expect(await count(400)).toBe(before + 2);
});

test("a body that breaks off in its chunks is told of once", async () => {
  const before = api.records.length;
  const head = "POST /tokenize HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
  expect(await talk(`${head}transfer-encoding: chunked\r\n\r\nzz\r\n`)).toMatch(/^HTTP\/1\.1 400 /);
  await expect.poll(() => api.records.length).toBe(before + 1);
  expect(api.records.at(-1)).toMatchObject({ route: "/tokenize", status: 400 });
});
