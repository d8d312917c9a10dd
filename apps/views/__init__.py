"""One file a question. Each is a script that Streamlit runs; see streamlit_app.py."""
