/** A fake engine at the port of a real tier, in real time. */
import type { MessagePort } from "node:worker_threads";
import { systemClock } from "../../src/platform/clock.js";
import type { KvTier, TierConnection } from "../../src/protocol/kv-tier.js";
import type { TierAnswer, TierIdentity } from "../../src/protocol/tier-messages.js";
import { FakeEngine } from "./fake-engine.js";
import { IDENTITY } from "./tier-identity.js";

export class ConnectedEngine {
  readonly connection: TierConnection;
  readonly port: MessagePort;
  readonly engine: FakeEngine;
  #isPortClosed = false;
  #onChange: () => void = () => undefined;

  private constructor(connection: TierConnection, identity: TierIdentity) {
    this.connection = connection;
    this.port = connection.port as unknown as MessagePort;
    this.engine = new FakeEngine(identity, systemClock);
    const way = this.engine.port;
    way.onMessage((ask) => {
      const handedOver = ask.type === "store" ? ask.blocks.map(({ bytes }) => bytes.buffer) : [];
      this.port.postMessage(ask, handedOver);
    });
    this.port.on("message", (answer: TierAnswer) => {
      way.post(answer.type === "stored" ? this.#asLent(answer) : answer);
      this.#onChange();
    });
    this.port.on("close", () => {
      this.#isPortClosed = true;
      this.#onChange();
    });
  }

  /** Memory that was handed over comes back as another object: as many of those that were lent. */
  #asLent({ type, buffers }: Extract<TierAnswer, { type: "stored" }>): TierAnswer {
    const { lent, identity, wrong } = this.engine;
    if (buffers.some(({ byteLength }) => byteLength !== identity.blockBytes))
      wrong.push("other memory came back");
    return { type, buffers: [...lent].slice(0, buffers.length) };
  }

  /** Connected, and told how things are. */
  static async of(tier: KvTier, identity = IDENTITY): Promise<ConnectedEngine> {
    const connected = new ConnectedEngine(await tier.connect(identity), identity);
    await connected.until(() => connected.engine.states.length > 0);
    return connected;
  }

  readonly isPortClosed = () => this.#isPortClosed;

  /** Waits until something holds, which is asked after each answer. */
  readonly until = (isDone: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      this.#onChange = () => {
        if (isDone()) resolve();
      };
      this.#onChange();
    });

  /** Closes the tier, which closes the port. */
  readonly end = async (): Promise<void> => {
    await this.connection.close();
    await this.until(this.isPortClosed);
  };
}
