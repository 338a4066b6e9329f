/**
 * As much of a Redis as a tier asks for, in this process: GET, SET … EX … NX, PING, SELECT and AUTH of its protocol. Tests that need
 * a server that misbehaves say what it answers. That the real one speaks alike is test/fleet/redis-store.test.ts's to show.
 */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";

export interface SpokenRedis {
  readonly url: string;
  /** The commands that came, in the order of their coming, records and names left out. */
  readonly asked: string[];
  /** Seconds to live that records were kept with. */
  readonly ttls: Set<number>;
  /** How many connections there are now. */
  readonly numConnected: () => number;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a server answers to a command, as bytes of the protocol; null: nothing at all; undefined: what it should. */
export type Answers = (command: string, socket: Socket) => string | null | undefined;

export async function spokenRedis(answers: Answers = () => undefined, port = 0): Promise<SpokenRedis> {
  const records = new Map<string, Buffer>();
  const asked: string[] = [];
  const ttls = new Set<number>();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    let received = Buffer.alloc(0);
    socket.on("data", (bytes) => {
      received = Buffer.concat([received, bytes]);
      for (;;) {
        const command = parsed(received);
        if (command === null) return;
        received = received.subarray(command.length);
        const name = command.parts[0].toString().toUpperCase();
        asked.push(name);
        const answer = answers(name, socket);
        if (answer === undefined) socket.write(answered(name, command.parts));
        else if (answer !== null) socket.write(answer);
      }
    });
  });

  function answered(name: string, parts: Buffer[]): Buffer | string {
    const key = parts[1]?.toString();
    if (name === "PING") return "+PONG\r\n";
    if (name === "AUTH" || name === "SELECT") return "+OK\r\n";
    if (name === "GET") {
      const record = records.get(key);
      if (record === undefined) return "$-1\r\n";
      return Buffer.concat([Buffer.from(`$${record.length}\r\n`), record, Buffer.from("\r\n")]);
    }
    if (
      name === "SET" &&
      parts.length === 6 &&
      parts[3].toString() === "EX" &&
      parts[5].toString() === "NX"
    ) {
      ttls.add(Number(parts[4]));
      if (records.has(key)) return "$-1\r\n";
      records.set(key, parts[2]);
      return "+OK\r\n";
    }
    return `-ERR unknown command '${name}'\r\n`;
  }

  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address() as { port: number };
  return {
    url: `redis://127.0.0.1:${address.port}`,
    asked,
    ttls,
    numConnected: () => sockets.size,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

/** The first command, an array of strings, and its length; null: not all of it is there. */
function parsed(bytes: Buffer): { parts: Buffer[]; length: number } | null {
  let at = 0;
  const line = () => {
    const end = bytes.indexOf("\r\n", at);
    if (end < 0) return null;
    const number = Number(bytes.toString("latin1", at + 1, end));
    at = end + 2;
    return number;
  };
  const count = line();
  if (count === null) return null;
  const parts: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const length = line();
    if (length === null || at + length + 2 > bytes.length) return null;
    parts.push(Buffer.from(bytes.subarray(at, at + length)));
    at += length + 2;
  }
  return { parts, length: at };
}
