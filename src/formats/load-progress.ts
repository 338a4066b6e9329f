/** How far long work on a model's files has come, and how fast. */

/** What is told where files are read or downloaded; bytes are counted over all files of a phase. */
export interface ReadProgress {
  /** `download`: from the Hub into the cache folder. `load`: from the files into the kernels' memory. */
  readonly phase: "download" | "load";
  /** The file that is being read or downloaded. */
  readonly file: string;
  /** Bytes that are there, of all files. */
  readonly loadedBytes: number;
  /** Bytes in all. */
  readonly totalBytes: number;
  /** The Hub is busy: nothing will come for so many seconds. Absent otherwise. */
  readonly retryInSeconds?: number | undefined;
}

/** What programs are told. `file` is a plain name, without a folder or an address. */
export interface LoadProgress extends ReadProgress {
  /** The rate since the phase began, or since the Hub was last waited for; 0 at first. */
  readonly bytesPerSecond: number;
}

/** Adds the rate, of what comes behind a phase's first report: what was there already does not count. */
export function withRate(
  report: (progress: LoadProgress) => void,
  now: () => number = () => performance.now(),
): (progress: ReadProgress) => void {
  let first: { readonly phase: ReadProgress["phase"]; readonly bytes: number; readonly at: number } | null =
    null;
  return (progress) => {
    const { phase, file, loadedBytes, retryInSeconds } = progress;
    const at = now();
    if (first?.phase !== phase) first = { phase, bytes: loadedBytes, at };
    const ms = at - first.at;
    const bytesPerSecond = ms > 0 ? Math.round((1000 * (loadedBytes - first.bytes)) / ms) : 0;
    if (retryInSeconds !== undefined) first = null;
    report({ ...progress, file: plainName(file), bytesPerSecond });
  };
}

function plainName(path: string): string {
  const withoutQuery = /^https?:/i.test(path) ? path.replace(/[?#].*$/s, "") : path;
  return withoutQuery.split(/[\\/]/).at(-1) || path;
}
