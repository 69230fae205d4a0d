"""Kermany's radiographs of children with pneumonia."""
