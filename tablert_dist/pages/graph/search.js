// What does not hold the wanted characters is dimmed in the picture and left out of the list; graph.html?q=oslo begins so.
const field = document.getElementById("search");
const count = document.getElementById("count");
const plain = (text) => text.normalize("NFKC").toLowerCase();
const items = [...document.querySelectorAll("[data-name]")].map((item) => [item, plain(item.dataset.name)]);
function search() {
  const wanted = plain(field.value.trim());
  let left = 0;
  for (const [item, name] of items) {
    const kept = name.includes(wanted);
    item.classList.toggle("off", !kept);
    if (kept && item.matches("li")) left += 1;
  }
  count.textContent = wanted ? `${left} found` : "";
  if (wanted && location.hash) location.hash = "#all";
}
field.addEventListener("input", search);
field.value = new URLSearchParams(location.search).get("q") ?? "";
if (field.value) search();
