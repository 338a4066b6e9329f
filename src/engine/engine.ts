/**
 * The engine's asynchronous face: steps run as long as anyone waits for anything, and between them everything else in
 * the event loop gets its turn. Owns the core, and with it everything that runs the model.
 */
import { LastrowError } from "../errors.js";
import { BeamJob } from "./beam-job.js";
import { EngineCore, type EngineParts, type EngineStats } from "./engine-core.js";
import { EventStream } from "./event-stream.js";
import { GenerationJob, type GenerationSink, type ObservedStep } from "./generation-job.js";
import type { GenerationRequest } from "./generation-request.js";
import type { ComputedLogits } from "./scheduled-sequence.js";
import { TurnTaker } from "./turn-taker.js";

/** What a computation took. */
export interface ComputeCost {
  /** Rows that went through the model, counted where they entered. */
  readonly rowsComputed: number;
  /** Milliseconds of the forward passes. */
  readonly computeMs: number;
}

/** A generation under way. */
export interface GenerationHandle {
  /** Ends it with `abort`, unless it has ended. */
  cancel(): void;
  /** See `GenerationSink.token`. */
  resume(index: number, verdict: "continue" | "stop"): void;
}

export class Engine {
  readonly core: EngineCore;
  readonly #turns: TurnTaker;
  readonly #streams = new Set<EventStream>();
  #isRunning = false;
  #broken: unknown = null;

  constructor(parts: EngineParts, yieldToEventLoop: () => Promise<void>) {
    this.core = new EngineCore(parts);
    this.#turns = new TurnTaker(yieldToEventLoop);
  }

  get stats(): EngineStats {
    return this.core.stats;
  }

  /** Everything that happens from now on, until the engine ends. */
  events(): EventStream {
    const stream = new EventStream((listener) => {
      const stop = this.core.listen(listener);
      return () => {
        stop();
        this.#streams.delete(stream);
      };
    });
    this.#streams.add(stream);
    return stream;
  }

  /**
   * Starts a generation.
   * @returns how to end it early, and how to go on with what its sink let wait
   * @throws LastrowError `kv_memory_exhausted` when it cannot fit even alone, `thread_lost`
   */
  generate(
    request: GenerationRequest,
    sink: GenerationSink,
    onStep?: (step: ObservedStep) => void,
  ): GenerationHandle {
    this.expectSound();
    const job =
      request.beams === null
        ? new GenerationJob(this.core, request, sink, onStep)
        : new BeamJob(this.core, request, request.beams, sink);
    job.begin();
    this.wake();
    return {
      cancel: () => job.cancel(),
      resume: (index, verdict) => {
        job.resume(index, verdict);
        this.wake();
      },
    };
  }

  /**
   * The logits of a sequence of tokens, of the rows from `logitsFrom` on.
   * @param use is given them as they are computed, in views that the next step overwrites
   * @returns what it took; null when the signal was aborted before all were computed
   * @throws LastrowError `kv_memory_exhausted`, `numerical_error`, `thread_lost`
   */
  async computeLogits(
    tokens: readonly number[],
    options: {
      readonly logitsFrom: number;
      readonly salt: string | null;
      readonly signal?: AbortSignal | undefined;
    },
    use: (logits: ComputedLogits) => void,
  ): Promise<ComputeCost | null> {
    this.expectSound();
    const { signal } = options;
    if (signal?.aborted) return null;
    return new Promise((resolve, reject) => {
      const finish = (isComplete: boolean) => {
        signal?.removeEventListener("abort", onAbort);
        this.core.end(sequence);
        const { rowsComputed, computeMs } = sequence;
        resolve(isComplete ? { rowsComputed, computeMs } : null);
      };
      const onAbort = () => finish(false);
      const sequence = this.core.start(
        tokens,
        {
          take: (logits) => {
            use(logits);
            if (logits.firstPosition + logits.count === tokens.length) finish(true);
          },
          fail: (error) => {
            signal?.removeEventListener("abort", onAbort);
            reject(error);
          },
        },
        options,
      );
      signal?.addEventListener("abort", onAbort);
      this.wake();
    });
  }

  /** Goes on stepping, if it does not already. */
  wake(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#run();
  }

  /** Ends everything; those who wait are told so. */
  async dispose(label: string): Promise<void> {
    this.#broken ??= new LastrowError("disposed", `${label} was used after dispose().`);
    this.core.failAll(new LastrowError("disposed", `${label} was disposed of while it worked.`));
    for (const stream of [...this.#streams]) stream.end();
    await this.core.kernels.dispose();
  }

  /** @throws what ended the engine */
  expectSound(): void {
    if (this.#broken !== null) throw this.#broken;
  }

  async #run(): Promise<void> {
    try {
      while (this.#broken === null && this.core.hasWork) {
        await this.#turns.take();
        if (this.#broken === null) this.core.step();
      }
    } catch (error) {
      // Those who waited have been told; nobody else can be served.
      this.#broken = error;
    } finally {
      this.#isRunning = false;
    }
  }
}
