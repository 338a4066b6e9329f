/**
 * The rules of deploy/haproxy, before servers that only count: which requests belong together in each API, whose they are,
 * what is sent a second time and what never is, and what is not handed on.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as later } from "node:timers/promises";
import { Agent, fetch } from "undici";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Haproxy, SERVERS as NAMES, startShippedHaproxy } from "./haproxy.js";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const fine: Answer = (_, response) => void response.end("{}");
/** A connection for each request: on one that was used before, HAProxy ends a failure by closing it, without an answer. */
const dispatcher = new Agent({ pipelining: 0 });
/** What each does with a request that is no look at its health. */
const answers: Record<string, Answer> = {};
let servers: Server[];
let proxy: Haproxy & { readonly metricsUrl: string };
/** Names of the servers that a request came to, in their order. */
let came: string[] = [];

beforeAll(async () => {
  servers = await Promise.all(
    NAMES.map(async (name) => {
      const server = createServer((request, response) => {
        if (request.url === "/ready") return void response.end();
        request.resume().on("end", () => {
          came.push(name);
          (answers[name] ?? fine)(request, response);
        });
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  proxy = await startShippedHaproxy(servers.map((server) => (server.address() as AddressInfo).port));
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await dispatcher.close();
  for (const server of servers) server.close().closeAllConnections();
});
afterEach(() => {
  came = [];
  for (const name of NAMES) delete answers[name];
});

interface Failure {
  readonly error: { readonly code: string };
}
type Asked = readonly [path: string, body?: unknown, headers?: Record<string, string>];

const ask = ([path, body, headers = {}]: Asked, method = body === undefined ? "GET" : "POST") =>
  fetch(proxy.url + path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: body === undefined ? null : JSON.stringify(body),
    dispatcher,
  });

/** The server that a request went to. */
async function place(asked: Asked): Promise<string> {
  const answer = await ask(asked);
  await answer.arrayBuffer();
  expect(answer.status).toBe(200);
  const name = answer.headers.get("x-served-by")!;
  expect(came).toContain(name);
  return name;
}

const text = (n: number) => `This is conversation number ${n}, and it goes on. `;
const user = (content: unknown) => ({ role: "user", content });
const parts = (words: string, type = "text") => [{ type, text: words }];
const said = { role: "assistant", content: "I see." };
const next = user("And then?");
const brief = "Be brief.";

/** A conversation in each API: its turns belong together. */
const CONVERSATIONS: Readonly<Record<string, (n: number) => readonly Asked[]>> = {
  "a header": (n) => [
    ["/v1/chat/completions", { messages: [user("One")] }, { "x-session-id": `${n}` }],
    ["/v1/completions", { prompt: "Two" }, { "x-session-id": `${n}` }],
  ],
  "prompt_cache_key, wherever it stands": (n) => [
    ["/v1/chat/completions", { prompt_cache_key: `${n}`, messages: [user("One")] }],
    ["/v1/responses", { input: "Two", prompt_cache_key: `${n}` }],
  ],
  prompts: (n) => [
    ["/v1/completions", { prompt: text(n).repeat(8) }],
    ["/v1/completions", { model: "stories", prompt: `${text(n).repeat(8)} And so on.` }],
  ],
  "prompts of tokens": (n) => [
    ["/v1/completions", { prompt: Array.from({ length: 300 }, (_, i) => i + n) }],
    ["/v1/completions", { prompt: Array.from({ length: 400 }, (_, i) => i + n) }],
  ],
  chats: (n) => [
    ["/v1/chat/completions", { messages: [user(text(n))] }],
    ["/v1/chat/completions", { stream: true, messages: [user(text(n)), said, next] }],
  ],
  "chats with a system message that all have": (n) => [
    ["/v1/chat/completions", { messages: [{ role: "system", content: brief }, user(text(n))] }],
    ["/v1/chat/completions", { messages: [{ role: "system", content: brief }, user(text(n)), said, next] }],
  ],
  "chats in parts": (n) => [
    ["/v1/chat/completions", { messages: [{ role: "system", content: parts(brief) }, user(parts(text(n)))] }],
    [
      "/v1/chat/completions",
      { messages: [{ role: "system", content: parts(brief) }, user(parts(text(n))), said, next] },
    ],
  ],
  "OpenAI's responses": (n) => [
    ["/v1/responses", { instructions: brief, input: text(n) }],
    ["/v1/responses", { instructions: brief, input: [user(text(n)), said, next] }],
    ["/v1/responses", { instructions: brief, input: [user(parts(text(n), "input_text")), said, next] }],
  ],
  "Anthropic's messages": (n) => [
    ["/v1/messages", { max_tokens: 1, system: brief, messages: [user(text(n))] }, { "x-api-key": "k" }],
    [
      "/v1/messages",
      { max_tokens: 1, system: parts(brief), messages: [user(parts(text(n))), said, next] },
      { "x-api-key": "k" },
    ],
  ],
  "Ollama's chats": (n) => [
    ["/api/chat", { messages: [user(text(n))] }],
    ["/api/chat", { messages: [user(text(n)), said, next] }],
  ],
  "Ollama's prompts": (n) => [
    ["/api/generate", { system: brief, prompt: text(n) }],
    ["/api/generate", { system: brief, prompt: text(n), stream: false }],
  ],
  "a first message that is larger than what is looked at": (n) => [
    ["/v1/chat/completions", { messages: [user(text(n).repeat(4000))] }],
    ["/v1/chat/completions", { messages: [user(text(n).repeat(4000)), said, next] }],
  ],
  "a key before a prompt that is larger than what is looked at": (n) => [
    ["/v1/completions", { prompt_cache_key: `${n}`, prompt: "x".repeat(200_000) }],
    ["/v1/completions", { prompt_cache_key: `${n}`, prompt: "y".repeat(300_000) }],
  ],
};

describe("what belongs together goes to one server, and what does not is spread:", () => {
  test.each(Object.entries(CONVERSATIONS))("%s", async (_, turns) => {
    const places = new Set<string>();
    for (let n = 0; n < 16; n++) {
      const [first, ...others] = turns(n);
      const home = await place(first);
      for (const turn of others) expect(await place(turn)).toBe(home);
      places.add(home);
    }
    expect(places.size).toBe(3);
  });

  test("what begins alike for 256 characters", async () => {
    const system = "You answer questions about this handbook. ".repeat(10);
    const homes = new Set<string>();
    for (let n = 0; n < 8; n++) {
      homes.add(
        await place([
          "/v1/chat/completions",
          { messages: [{ role: "system", content: system }, user(text(n))] },
        ]),
      );
    }
    expect(homes.size).toBe(1);
  });
});

describe("whose a request is", () => {
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

  test("comes first: equal sessions of two keys are apart, and one key's are together whatever the other does", async () => {
    let numApart = 0;
    for (let n = 0; n < 24; n++) {
      const ofOne = () => place(["/v1/completions", {}, { ...bearer("one"), "x-session-id": `${n}` }]);
      const home = await ofOne();
      const other = await place(["/v1/completions", {}, { ...bearer("two"), "x-session-id": `${n}` }]);
      const byAnotherHeader = await place([
        "/v1/messages",
        {},
        { "x-api-key": "three", "x-session-id": `${n}` },
      ]);
      if (other !== home) numApart += 1;
      if (byAnotherHeader !== home) numApart += 1;
      expect(await ofOne()).toBe(home);
    }
    // Two thirds of 48, but for chance.
    expect(numApart).toBeGreaterThan(16);
  });

  test("is all that there is to a request without a body", async () => {
    const homes = await Promise.all(
      Array.from({ length: 12 }, (_, n) => place(["/v1/models", undefined, bearer(`key ${n}`)])),
    );
    expect(new Set(homes).size).toBeGreaterThan(1);
    expect(await place(["/v1/models", undefined, bearer("key 5")])).toBe(
      await place(["/api/tags", undefined, bearer("key 5")]),
    );
  });

  test("and where nothing is known of it, requests go round", async () => {
    const homes = new Set<string>();
    for (let i = 0; i < 12; i++) homes.add(await place(["/v1/models"]));
    expect(homes.size).toBe(3);
  });
});

test("a hot key takes more than one server, and no server more than twice its share", async () => {
  const waiting: ServerResponse[] = [];
  for (const name of NAMES) answers[name] = (_, response) => void waiting.push(response);
  const asked = Array.from({ length: 60 }, () => ask(["/v1/completions", { prompt_cache_key: "hot" }]));
  while (waiting.length < 60) await later(5);
  for (const response of waiting) response.end("{}");
  await Promise.all(asked);
  const counts = NAMES.map((name) => came.filter((other) => other === name).length);
  // 40 of 60, rounded up.
  expect(Math.max(...counts)).toBeLessThanOrEqual(41);
});

describe("what is sent again:", () => {
  const cut: Answer = (request) => void request.socket.destroy();
  const busy: Answer = (_, response) => void response.writeHead(503).end();

  test.each([
    ["is lost", cut],
    ["answers 503", busy],
  ])("a text whose server %s, to another", async (_, fails) => {
    const home = await place(["/v1/completions", { prompt_cache_key: "k" }]);
    answers[home] = fails;
    came = [];
    const answer = await ask(["/v1/completions", { prompt_cache_key: "k" }]);
    expect(answer.status).toBe(200);
    expect(came).toHaveLength(2);
    expect(came[0]).toBe(home);
    expect(came[1]).not.toBe(home);
  });

  test("never more than to three, and the last one's answer is the answer", async () => {
    for (const name of NAMES) answers[name] = busy;
    expect((await ask(["/v1/completions", { prompt_cache_key: "k" }])).status).toBe(503);
    expect(came).toHaveLength(3);
    came = [];
    for (const name of NAMES) answers[name] = cut;
    const lost = await ask(["/v1/completions", { prompt_cache_key: "k" }]);
    expect(lost.status).toBe(502);
    expect(((await lost.json()) as Failure).error.code).toBe("server_lost");
    expect(came).toHaveLength(3);
  });

  test("nothing of an answer that has begun", async () => {
    for (const name of NAMES) {
      answers[name] = (request, response) => {
        response.write("data: {}\n\n");
        setTimeout(() => request.socket.destroy(), 20);
      };
    }
    const answer = await ask(["/v1/completions", { stream: true }]);
    await expect(answer.text()).rejects.toThrow();
    expect(came).toHaveLength(1);
  });

  test.each<[string, Asked]>([
    ["a new sequence", ["/v1/sequences", { prompt: "Once" }]],
    ["tokens for a sequence", ["/v1/sequences/seq_lastrow-1_1234/append", { text: "more" }]],
    ["a saved sequence", ["/v1/sequences/restore", { name: "kept" }]],
    [
      "a response that goes on",
      ["/v1/responses", { previous_response_id: "resp_lastrow-1_1234", input: "more" }],
    ],
  ])("never %s", async (_, asked) => {
    for (const name of NAMES) answers[name] = cut;
    expect((await ask(asked)).status).toBe(502);
    expect(came).toHaveLength(1);
    came = [];
    for (const name of NAMES) answers[name] = busy;
    expect((await ask(asked)).status).toBe(503);
    expect(came).toHaveLength(1);
  });
});

test("a stream's first event is handed on at once, and without `option http-no-delay` it is not", async () => {
  const pause = 400;
  for (const name of NAMES) {
    answers[name] = (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
      setTimeout(() => response.end("data: 2\n\n"), pause);
    };
  }
  /** Milliseconds, of at most so many rounds, until one has less than enough: a busy machine is slow in some, a proxy in all. */
  const fastest = async (url: string, enough: number, rounds: number) => {
    let least = Number.POSITIVE_INFINITY;
    for (let round = 0; round < rounds && least >= enough; round++) {
      const begin = performance.now();
      const answer = await fetch(`${url}/v1/completions`, { method: "POST", body: "{}", dispatcher });
      const reader = answer.body!.getReader();
      await reader.read();
      least = Math.min(least, performance.now() - begin);
      while (!(await reader.read()).done);
    }
    return least;
  };
  expect(await fastest(proxy.url, 100, 20)).toBeLessThan(100);
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await using delaying = await startShippedHaproxy(ports, (configuration) => {
    const without = configuration.replace(/\n *option http-no-delay\n/, "\n");
    expect(without).not.toBe(configuration);
    return without;
  });
  expect(await fastest(delaying.url, 150, 3)).toBeGreaterThan(150);
});

describe("what only one server has", () => {
  const OF: readonly ((instance: string) => Asked)[] = [
    (name) => [`/v1/sequences/seq_${name}_12ab-34`],
    (name) => [`/v1/sequences/seq_${name}_12_ab`],
    (name) => [`/v1/sequences/seq_${name}_1/append`, { text: "more" }],
    (name) => [`/v1/responses/resp_${name}_12ab`],
    (name) => [`/v1/responses/resp_${name}_12ab/input_items`],
    (name) => ["/v1/responses", { input: "more", previous_response_id: `resp_${name}_12ab` }],
  ];

  test("is asked of that server, whatever else is in the request", async () => {
    for (const name of NAMES) {
      for (const of of OF) {
        const [path, body, headers] = of(name);
        for (let n = 0; n < 4; n++) {
          expect(await place([path, body, { ...headers, "x-session-id": `${n}` }])).toBe(name);
        }
      }
    }
  });

  test("is asked of any where no server has that name", async () => {
    for (const of of OF) expect(NAMES).toContain(await place(of("nowhere")));
  });

  test("is made, listed and saved in one place for a key, or for each session of its", async () => {
    const paths: readonly Asked[] = [
      ["/v1/sequences", { prompt: "Once" }],
      ["/v1/sequences", { prompt: "Another" }],
      ["/v1/sequences"],
      ["/v1/sequences/restore", { name: "kept" }],
      ["/v1/saved-sequences"],
      ["/v1/saved-sequences/kept"],
    ];
    const homes = new Set<string>();
    for (let n = 0; n < 12; n++) {
      for (const headers of [
        { authorization: `Bearer ${n}` },
        { authorization: "Bearer one", "x-session-id": `${n}` },
      ]) {
        const [home, ...others] = await Promise.all(
          paths.map(([path, body]) =>
            ask([path, body, headers]).then((answer) => answer.headers.get("x-served-by")),
          ),
        );
        expect(new Set(others)).toEqual(new Set([home]));
        homes.add(home!);
      }
    }
    expect(homes.size).toBe(3);
  });
});

test("metrics are the proxy's own, at an address of their own", async () => {
  expect((await ask(["/metrics"])).status).toBe(404);
  expect(came).toEqual([]);
  const metrics = await (await fetch(proxy.metricsUrl)).text();
  expect(metrics).toMatch(/haproxy_server_status\{proxy="any-server",server="lastrow-0",state="UP"\} 1/);
});

test("where no server answers, that is said as the servers say errors; what one held is not asked of another", async () => {
  await using alone = await startShippedHaproxy([(servers[0].address() as AddressInfo).port]);
  const held = await fetch(`${alone.url}/v1/sequences/seq_lastrow-1_12`);
  expect(held.status).toBe(503);
  expect(came).toEqual([]);
  await using nobody = await startShippedHaproxy([]);
  const answer = await fetch(`${nobody.url}/v1/completions`, { method: "POST", body: "{}" });
  expect(answer.status).toBe(503);
  expect(answer.headers.get("retry-after")).toBe("1");
  expect(((await answer.json()) as Failure).error.code).toBe("no_server");
});
