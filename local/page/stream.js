// Server-sent events while the page is visible: a page in the background costs nothing.

export function follow(path, take, state = () => {}) {
  let source = null;
  const begin = () => {
    if (source || document.hidden) return;
    source = new EventSource(path);
    source.onopen = () => state("open");
    source.onerror = () => {
      state("lost");
      // The browser reconnects by itself, unless the server has refused the stream.
      if (source?.readyState === EventSource.CLOSED) {
        end();
        setTimeout(begin, 3000);
      }
    };
    source.onmessage = (message) => take(JSON.parse(message.data));
  };
  const end = () => {
    source?.close();
    source = null;
  };
  const seen = () => (document.hidden ? end() : begin());
  document.addEventListener("visibilitychange", seen);
  begin();
  return {
    close() {
      document.removeEventListener("visibilitychange", seen);
      end();
    },
  };
}
