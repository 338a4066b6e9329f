/**
 * Untrusted work where it can do no harm: in a thread whose heap is limited, or, where the runtime has none, right here,
 * under what limits it has itself. Owns the thread, which is started for the first task and started anew when one has
 * brought it down, and the tasks that wait for it: one at a time.
 */
import { onAbort } from "../abort-listeners.js";
import type { LastrowError } from "../errors.js";
import { fromRemoteError, type RemoteError, toRemoteError } from "../protocol/remote-error.js";
import type { LimitedThread } from "./limited-thread.js";

/** `ready` once, then one answer for each task, in order. */
export type TaskAnswer<Value> =
  | { readonly kind: "ready" }
  | { readonly kind: "done"; readonly value: Value }
  | { readonly kind: "failed"; readonly error: RemoteError };

/** A thread that answers tasks and is ready. */
export type TaskThread<Task, Value> = LimitedThread<Task, TaskAnswer<Value>>;

export interface LimitedWork<Task, Value> {
  /** Null, or a rejection the first time, where no thread's heap can be limited. */
  readonly startThread: () => Promise<TaskThread<Task, Value> | null>;
  /** Does a task where there is no thread. */
  readonly runHere: (task: Task) => Value | Promise<Value>;
  /** The error of a task that took too long, too much memory, or its thread with it. */
  readonly failure: (reason: string) => LastrowError;
  /** The error of a task that was waiting, or at work, when all was disposed of. */
  readonly disposed: () => LastrowError;
}

/** Milliseconds after its deadline at which a task is ended that has not looked at the clock itself. */
const GRACE_MS = 1000;

export class LimitedTasks<Task, Value> {
  readonly #work: LimitedWork<Task, Value>;
  /** What is at work; the next task waits for it. */
  #last: Promise<unknown> = Promise.resolve();
  #thread: TaskThread<Task, Value> | null = null;
  /** Ends the task that is at work; null: none is. */
  #lose: ((error: unknown) => void) | null = null;
  /** Whether there are threads; null: it is not known yet. */
  #hasThreads: boolean | null = null;
  #isDisposed = false;

  constructor(work: LimitedWork<Task, Value>) {
    this.#work = work;
  }

  /**
   * @param signal its result is not wanted any more: it is not begun, and ended, with its thread, where it is at work
   * @throws LastrowError what the task fails with, `failure`, `disposed`; the signal's reason
   */
  run(task: Task, deadlineMs: number, signal?: AbortSignal): Promise<Value> {
    const mine = this.#last.then(() => this.#next(task, deadlineMs, signal));
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true;
    const thread = this.#thread;
    this.#thread = null;
    // A thread that is closed says nothing any more.
    this.#lose?.(this.#work.disposed());
    await thread?.close();
  }

  async #next(task: Task, deadlineMs: number, signal?: AbortSignal): Promise<Value> {
    this.#expectAlive();
    signal?.throwIfAborted();
    if (this.#thread === null && this.#hasThreads !== false) {
      const thread = await this.#startThread();
      if (this.#isDisposed) await thread?.close();
      this.#expectAlive();
      this.#thread = thread;
      this.#hasThreads = thread !== null;
    }
    signal?.throwIfAborted();
    const thread = this.#thread;
    return thread === null ? this.#work.runHere(task) : this.#ask(thread, task, deadlineMs, signal);
  }

  /**
   * Null where there are none. Where there have been some, that the next one cannot be started is no reason to do without: what
   * has brought the last one down may be tried again.
   */
  async #startThread(): Promise<TaskThread<Task, Value> | null> {
    try {
      return await this.#work.startThread();
    } catch (cause) {
      if (this.#hasThreads === null) return null;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw this.#work.failure(`no thread could be started for it: ${why}`);
    }
  }

  #ask(
    thread: TaskThread<Task, Value>,
    task: Task,
    deadlineMs: number,
    signal?: AbortSignal,
  ): Promise<Value> {
    return new Promise((resolve, reject) => {
      const end = () => {
        if (this.#lose === lose) this.#lose = null;
        clearTimeout(timer);
        unlisten();
        thread.hold(false);
      };
      const lose = (error: unknown) => {
        end();
        if (this.#thread === thread) this.#thread = null;
        reject(this.#isDisposed ? this.#work.disposed() : error);
      };
      this.#lose = lose;
      const timer = setTimeout(() => {
        lose(this.#work.failure(`it took more than ${deadlineMs / 1000} s`));
        void thread.close();
      }, deadlineMs + GRACE_MS);
      const unlisten = onAbort(signal, () => {
        lose(signal?.reason);
        void thread.close();
      });
      thread.onLost((reason) => lose(this.#work.failure(reason)));
      thread.onMessage((answer) => {
        end();
        if (answer.kind === "failed") reject(fromRemoteError(answer.error));
        else if (answer.kind === "done") resolve(answer.value);
      });
      thread.hold(true);
      thread.post(task);
    });
  }

  #expectAlive(): void {
    if (this.#isDisposed) throw this.#work.disposed();
  }
}

/** What a thread runs: one task after the other. */
export function answerTasks<Task, Value>(
  port: { post(answer: TaskAnswer<Value>): void; onMessage(listener: (task: Task) => void): void },
  run: (task: Task) => Value,
): void {
  port.onMessage((task) => {
    try {
      port.post({ kind: "done", value: run(task) });
    } catch (error) {
      port.post({ kind: "failed", error: toRemoteError(error) });
    }
  });
  port.post({ kind: "ready" });
}
