// Inside a frame: tell the page around it how high this one is.
if (parent !== window) {
  const tell = () => parent.postMessage({ height: document.documentElement.scrollHeight }, "*");
  addEventListener("load", tell);
  new ResizeObserver(tell).observe(document.body);
}
