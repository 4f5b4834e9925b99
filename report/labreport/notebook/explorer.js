const facts = JSON.parse(this.dataset.facts);
const row = [...this.querySelectorAll('input')].reduce((before, slider, axis) => {
  const value = facts.values[axis][slider.value];
  slider.nextElementSibling.value = value;
  slider.setAttribute('aria-valuetext', value);
  return before * facts.values[axis].length + Number(slider.value);
}, 0);
const picture = this.querySelector('img');
picture.style.objectPosition = `0 ${100 * row / (facts.readings.length - 1)}%`;
picture.alt = this.querySelector('p').textContent = facts.readings[row];
