/**
 * The end of a process whose terminal was closed. Node restores the modes of the terminals that it began with when it ends,
 * and aborts with a native stack where there is none any more; of a descriptor that the program has closed it keeps off.
 */
import { closeSync } from "node:fs";
import { isatty } from "node:tty";

/** To be called when the process begins. @returns what has to be called when it ends */
export function watchTerminals(): () => void {
  const terminals = [0, 1, 2].filter((fd) => isatty(fd));
  return () => {
    for (const fd of terminals) {
      if (isatty(fd)) continue;
      try {
        closeSync(fd);
      } catch {
        // It was closed already.
      }
    }
  };
}
