// Inside a frame: tell the page around it how high this one is.
if (parent !== window) {
  new ResizeObserver(() => parent.postMessage({ height: document.documentElement.scrollHeight }, "*")).observe(document.body);
}
