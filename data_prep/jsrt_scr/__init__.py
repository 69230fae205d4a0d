"""The JSRT database of lung nodules, with the SCR masks of heart and lungs."""
