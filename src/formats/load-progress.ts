/** How far long work on a model's files has come. */

/** Long work reports here; bytes are counted over all files of a phase. */
export interface LoadProgress {
  /** `download`: from the Hub into the cache folder. `load`: from the files into the kernels' memory. */
  readonly phase: "download" | "load";
  /** The file at work. */
  readonly file: string;
  /** Bytes that are there, of all files. */
  readonly loadedBytes: number;
  /** Bytes that there will be. */
  readonly totalBytes: number;
  /** The Hub is busy: nothing will come for so many seconds. Absent otherwise. */
  readonly retryInSeconds?: number | undefined;
}
