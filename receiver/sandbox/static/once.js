// Keeps work that is asked for often from running more than once at a time.

/** Runs `work` once at a time; calls that come meanwhile share one more run. */
export function oneAtATime(work) {
  let running = null;
  let again = false;
  const run = async () => {
    try {
      do {
        again = false;
        await work();
      } while (again);
    } finally {
      running = null;
    }
  };
  return () => {
    again = true;
    running ??= run();
    return running;
  };
}
