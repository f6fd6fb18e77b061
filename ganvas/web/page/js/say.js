// Words for screen readers only: what happened where nothing was focused.

const line = document.getElementById("said");

/** Have something read out when there is a pause. */
export function announce(message) {
  line.textContent = "";
  setTimeout(() => (line.textContent = String(message)), 50);
}
