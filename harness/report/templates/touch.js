// Figures that one can touch; see touch.css for their look.
