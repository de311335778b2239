"""What can be done in the window, a module for each verb."""
