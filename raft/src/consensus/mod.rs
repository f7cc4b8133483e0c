//! The openraft adapter: proposals in, applied entries out. The only room that names openraft.
