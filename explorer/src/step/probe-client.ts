/**
 * Asks the probe's worker, which is started with the first question and ends with the page's model. A newer question makes
 * older ones void.
 */
import { LastrowError } from "lastrow";
import type { AttentionWeights } from "lastrow/explain";
import { engine } from "../model/engine.svelte.ts";
import { sentSource } from "../model/page-source.ts";
import type { ProbeAnswer, ProbeError, ProbeQuestion } from "./probe-worker.ts";

type Question = Pick<ProbeQuestion, "tokens" | "numCachedTokens" | "layer">;

class ProbeClient {
  #worker: Worker | null = null;
  #lastId = 0;
  #waiting: {
    id: number;
    resolve: (weights: AttentionWeights | null) => void;
    reject: (error: Error) => void;
  } | null = null;

  constructor() {
    engine.onLeaving(() => {
      this.#worker?.terminate();
      this.#worker = null;
      this.#waiting?.resolve(null);
      this.#waiting = null;
    });
  }

  /** @returns null when another question came before the answer */
  ask(question: Question): Promise<AttentionWeights | null> {
    this.#waiting?.resolve(null);
    this.#worker ??= this.#start();
    this.#lastId += 1;
    const id = this.#lastId;
    const { source, options } = engine.model;
    this.#worker.postMessage({
      id,
      source: sentSource(source),
      options: { ...options },
      ...question,
    } satisfies ProbeQuestion);
    return new Promise((resolve, reject) => {
      this.#waiting = { id, resolve, reject };
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL("./probe-worker.ts", import.meta.url), {
      type: "module",
      name: "attention",
    });
    worker.onmessage = ({ data }: MessageEvent<ProbeAnswer>) => {
      if (this.#waiting?.id !== data.id) return;
      const { resolve, reject } = this.#waiting;
      this.#waiting = null;
      if ("error" in data) reject(errorOf(data.error));
      else resolve(data.weights);
    };
    worker.onerror = ({ message }) => {
      this.#waiting?.reject(new Error(message));
      this.#waiting = null;
    };
    return worker;
  }
}

/** Errors come without their class. */
function errorOf({ code, message }: ProbeError): Error {
  return code === null ? new Error(message) : new LastrowError(code, message);
}

export const probe = new ProbeClient();
