/**
 * Where a KV tier keeps its records: any store of bytes by name will do. The port that stores are adapted to, and the one way
 * in which they fail. A store is not trusted: what it gives is opened and verified by what asked.
 */

/** A store of records by name. Names are those of names.ts. All stores pass one suite: store-conformance.test.ts. */
export interface TierStore {
  /** Which store it is, for people and logs: holds no password. */
  readonly address: string;
  /**
   * What is there under a name, or null.
   * @param signal no longer waits for the store when it is aborted
   * @returns bytes that the caller may keep, but not change or hand over
   * @throws StoreError `unreachable`, also when the signal is aborted
   */
  get(name: string, signal: AbortSignal): Promise<Uint8Array | null>;
  /**
   * Keeps a record, for as long as the store's settings say, unless there is one of that name.
   * @returns whether it was written
   * @throws StoreError
   */
  setIfAbsent(name: string, record: Uint8Array): Promise<boolean>;
  /** Whether the store answers. @throws StoreError `unreachable` */
  ping(signal: AbortSignal): Promise<void>;
  /** Calls back whenever a connection that was lost is there again; a store without connections has none that it could lose. */
  onConnected?(listener: () => void): void;
  /** Lets go of the store; what is under way fails. Never rejects. */
  close(): Promise<void>;
}

/**
 * Why a store did not do what it was asked.
 * - `unreachable`: it did not answer, or not in time, or answers nothing of use until an administrator sees to it
 * - `full`: it takes nothing more now, and may still be read
 */
export type StoreFailure = "unreachable" | "full";

/** What stores throw, and nothing else. The message is a sentence for the operator and holds no secret. */
export class StoreError extends Error {
  readonly failure: StoreFailure;

  constructor(failure: StoreFailure, message: string) {
    super(message);
    this.name = "StoreError";
    this.failure = failure;
  }
}
