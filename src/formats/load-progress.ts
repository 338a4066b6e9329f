/** How far long work on a model's files has come. */

/** Long work reports here; bytes are counted over all files of a phase. */
export interface LoadProgress {
  /** `download`: from the Hub into the cache folder. `load`: from the files into the kernels' memory. */
  readonly phase: "download" | "load";
  /** Name of the file that is being read or downloaded. */
  readonly file: string;
  /** Bytes that are there, of all files. */
  readonly loadedBytes: number;
  /** Bytes in all. */
  readonly totalBytes: number;
  /** The Hub is busy: nothing will come for so many seconds. Absent otherwise. */
  readonly retryInSeconds?: number | undefined;
}
